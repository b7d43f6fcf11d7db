// Feeds arrays to a compiled part, one element per evaluation or cycle, and keeps what comes out.
//
// adapter.h includes the model and defines CLOCK(level), INPUTS and OUTPUTS: a PUT or GET of each
// port with the 64-bit words that an element of its array has.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "adapter.h"

extern "C" void evaluate(void** arrays, uint64_t length, uint64_t latency) {
    VerilatedContext context;
    Vtop top{&context};
    CLOCK(0);
    const uint64_t lag = latency ? latency - 1 : 0;
    for (uint64_t step = 0; step < length + lag; step++) {
        const uint64_t row = std::min(step, length - 1);
        void** array = arrays;
#define PUT(port, words) \
        std::memcpy(&top.port, static_cast<uint64_t*>(*array++) + row * words, sizeof top.port);
        INPUTS
        top.eval();
        CLOCK(1);
        if (latency) top.eval();
        if (step >= lag) {
            const uint64_t result = step - lag;
#define GET(port, words) \
            std::memcpy(static_cast<uint64_t*>(*array++) + result * words, &top.port, sizeof top.port);
            OUTPUTS
        }
        CLOCK(0);
        if (latency) top.eval();
    }
}
