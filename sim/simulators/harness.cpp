// Drives a compiled core with whole arrays of beats. One of these is compiled per core, together with
// its generated adapter.h, into a shared library that systolith.sim.simulators.harness calls.
//
// adapter.h defines `struct Core` with `void eval()`, which settles the model after its inputs changed,
// `Ports ports()`, `uint8_t* internal(scope, name, bytes)`, the address and the size of a register inside
// of up to 32 bits, or null, and `void coverage(path)`, which writes what was counted where the model counts.
// A port is the address of its little-endian words. The model keeps the bits above a port's width at
// zero, and never moves a port.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ports are copied as little-endian bytes");

struct Stream {
    bool input;
    size_t data_bytes, user_bytes;
    uint8_t *data, *valid, *ready, *last, *user;
};

struct Axil {
    uint8_t *awaddr, *awvalid, *awready, *wdata, *wstrb, *wvalid, *wready, *bresp, *bvalid, *bready;
    uint8_t *araddr, *arvalid, *arready, *rdata, *rresp, *rvalid, *rready;
};

struct Control {             // an input that an instrumented core has beside those of every core
    size_t bytes;
    uint8_t* port;
};

struct Ports {
    uint8_t *clk, *rst;
    Axil axil;
    std::vector<Stream> streams;
    std::vector<Control> controls;
};

#include "adapter.h"

extern "C" {

// Beats of one stream: an input's to send, or room for an output's to come.
struct Transfer {
    uint64_t total;          // beats
    uint64_t done;           // beats accepted so far
    uint8_t *data;           // total * data_bytes
    uint8_t *last;           // total
    uint8_t *user;           // total * user_bytes, inputs only
    uint64_t *cycle;         // total: the cycle of each accepted output beat; outputs only
    double stop, go;         // chance per cycle to begin, and to end, a pause; stop = 0: no pauses
    uint64_t seed;           // of the pauses
};

// A register access. The write's data come `skew` cycles after its address, or before it if negative;
// the answer is taken `hold` cycles after it is there.
struct Access {
    uint32_t address, value, strobe;
    int32_t skew;
    uint32_t hold, response;
};

enum Status { DONE = 0, RUNNING = 1, HUNG = 2, NO_ANSWER = 3, REFUSED = 4, STOPPED = 5,
              CHANGED = 6 };
}

namespace {

struct Random {
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du) {}
    uint64_t word() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state >> 11;
    }
    bool chance(double p) { return word() * 0x1.0p-53 < p; }
};

struct Channel {
    Transfer* transfer = nullptr;
    bool paused = false;
    Random random{0};
    Random unsaid{1};        // of what is on an input that offers nothing
    uint64_t stray = 0;      // output beats beyond the total
    uint64_t broken = 0;     // output beats that did not hold until they were taken
    bool stalled = false;    // an output beat was offered in the last cycle, and not taken
    bool moved_before = false;
    std::vector<uint8_t> held{};     // that beat
};

// How often each kind of cycle was seen on a stream.
struct Seen {
    uint64_t moved = 0, streaks = 0;       // beats; beats right after another
    uint64_t blocked = 0, starved = 0;     // valid without ready; ready without valid
};

struct Harness {
    Core core;
    Ports ports;
    std::vector<Channel> channels;
    std::vector<uint8_t> moved;
    std::vector<Seen> seen;
    uint64_t cycle = 0, first = 0, final = 0, progress = 0;
    uint64_t paused = 0;     // cycles in which a stream that is not through stood still from outside
    bool started = false;
    bool active = false;     // transfers have begun and not come to their end

    Harness() : ports(core.ports()), channels(ports.streams.size()), moved(channels.size()),
                seen(channels.size()) {
        *ports.clk = 0;
        core.eval();
    }

    // One clock cycle: what was set since the last one settles, `sample` looks, the clock rises.
    template <class Sample> void clock(Sample sample) {
        *ports.clk = 0;
        core.eval();
        sample();
        *ports.clk = 1;
        core.eval();
        ++cycle;
    }

    // Returns how many ports offer or take something in the last cycle of the reset.
    uint64_t reset(uint64_t cycles) {
        for (auto& stream : ports.streams) *(stream.input ? stream.valid : stream.ready) = 0;
        const Axil& x = ports.axil;
        for (uint8_t* signal : {x.awvalid, x.wvalid, x.bready, x.arvalid, x.rready}) *signal = 0;
        *ports.rst = 1;
        uint64_t awake = 0;
        while (cycles--) clock([&] {
            awake = *x.awready + *x.wready + *x.bvalid + *x.arready + *x.rvalid;
            for (auto& stream : ports.streams)
                awake += *(stream.input ? stream.ready : stream.valid);
        });
        *ports.rst = 0;
        active = false;
        return awake;
    }

    void begin(Transfer* transfers) {
        for (size_t i = 0; i < channels.size(); i++) {
            channels[i] = Channel{&transfers[i], false, Random(transfers[i].seed),
                                  Random(~transfers[i].seed)};
            Stream& stream = ports.streams[i];
            if (stream.input) offer(stream, channels[i]);
            else *stream.ready = !pause(channels[i]);
        }
        started = false;
        paused = 0;
        active = true;
        progress = cycle;
    }

    bool pause(Channel& channel) {
        const Transfer& t = *channel.transfer;
        if (t.stop > 0)
            channel.paused = channel.paused ? !channel.random.chance(t.go) : channel.random.chance(t.stop);
        return channel.paused;
    }

    // Put the next beat on an input that offers none; any other, which is not valid, in a pause.
    void offer(Stream& stream, Channel& channel) {
        Transfer& t = *channel.transfer;
        *stream.valid = t.done < t.total && !pause(channel);
        if (!t.total) return;
        const uint64_t beat = *stream.valid ? t.done : channel.unsaid.word() % t.total;
        std::memcpy(stream.data, t.data + beat * stream.data_bytes, stream.data_bytes);
        *stream.last = *stream.valid ? t.last[beat] : channel.unsaid.word() & 1;
        if (stream.user_bytes)
            std::memcpy(stream.user, t.user + beat * stream.user_bytes, stream.user_bytes);
    }

    bool finished() const {
        return std::all_of(channels.begin(), channels.end(), [](const Channel& c) {
            return c.transfer->done == c.transfer->total; });
    }

    // One cycle in which the streams move.
    template <class Sample> void step(Sample sample) {
        const size_t count = channels.size();
        clock([&] {
            sample();
            bool pausing = false;
            for (size_t i = 0; i < count; i++) {
                Stream& stream = ports.streams[i];
                pausing |= channels[i].transfer->done < channels[i].transfer->total
                    && !*(stream.input ? stream.valid : stream.ready);
                if (!stream.input) watch(stream, channels[i]);
                moved[i] = *stream.valid && *stream.ready;
                seen[i].moved += moved[i];
                seen[i].streaks += moved[i] && channels[i].moved_before;
                seen[i].blocked += *stream.valid && !*stream.ready;
                seen[i].starved += !*stream.valid && *stream.ready;
                channels[i].moved_before = moved[i];
                if (!moved[i]) continue;
                if (stream.input) {
                    if (!started) first = cycle;
                    started = true;
                } else if (!take(stream, channels[i])) {
                    continue;
                }
                progress = cycle;
            }
            paused += pausing;
        });
        for (size_t i = 0; i < count; i++) {
            Stream& stream = ports.streams[i];
            if (stream.input) {
                channels[i].transfer->done += moved[i];
                if (moved[i] || !*stream.valid) offer(stream, channels[i]);
            } else {
                *stream.ready = !pause(channels[i]);
            }
        }
    }

    // Clock until every beat is through, for `most` cycles, for about `seconds`, or until `patience`
    // cycles pass in which none moves that is owed.
    Status run(uint64_t patience, uint64_t most, double seconds) {
        const auto stop = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
        for (;;) {
            for (int slice = 0; slice < 64; slice++) {
                if (finished()) {
                    active = false;
                    return DONE;
                }
                if (most-- == 0) return STOPPED;
                step([] {});
                if (cycle - progress > patience) return HUNG;
            }
            if (std::chrono::steady_clock::now() >= stop) return RUNNING;
        }
    }

    // An output beat, once offered, must stay as it is until it is taken.
    void watch(const Stream& stream, Channel& channel) {
        if (channel.stalled)
            channel.broken += !*stream.valid || channel.held.back() != *stream.last
                || std::memcmp(channel.held.data(), stream.data, stream.data_bytes);
        channel.stalled = *stream.valid && !*stream.ready;
        if (!channel.stalled) return;
        channel.held.assign(stream.data, stream.data + stream.data_bytes);
        channel.held.push_back(*stream.last);
    }

    // Store an output beat; whether it was owed.
    bool take(Stream& stream, Channel& channel) {
        Transfer& t = *channel.transfer;
        if (t.done == t.total) {
            channel.stray++;
            return false;
        }
        final = cycle;
        std::memcpy(t.data + t.done * stream.data_bytes, stream.data, stream.data_bytes);
        t.last[t.done] = *stream.last;
        t.cycle[t.done++] = started ? cycle - first : 0;
        return true;
    }

    // A cycle between runs: inputs are quiet; beats of outputs are taken and counted as stray.
    template <class Sample> void idle(Sample sample) {
        for (auto& stream : ports.streams) {
            if (stream.input) *stream.valid = 0;
            else *stream.ready = 1;
        }
        clock([&] {
            sample();
            for (size_t i = 0; i < channels.size(); i++)
                channels[i].stray += !ports.streams[i].input && *ports.streams[i].valid;
        });
    }

    // A cycle in which transfers that have begun go on.
    template <class Sample> void advance(Sample sample) {
        if (active) step(sample);
        else idle(sample);
    }

    Status write(Access& access, uint64_t patience) {
        const Axil& x = ports.axil;
        std::memcpy(x.awaddr, &access.address, 2);
        std::memcpy(x.wdata, &access.value, 4);
        *x.wstrb = access.strobe;
        *x.awvalid = access.skew >= 0;
        *x.wvalid = access.skew <= 0;
        *x.bready = access.hold == 0;
        int32_t wait = std::abs(access.skew);
        uint32_t held = 0;
        bool done = false, changed = false;
        while (!done && patience--) {
            bool address_taken = false, data_taken = false;
            advance([&] {
                address_taken = *x.awvalid && *x.awready;
                data_taken = *x.wvalid && *x.wready;
                if (held && (!*x.bvalid || *x.bresp != access.response)) changed = true;
                if (*x.bvalid) {
                    access.response = *x.bresp;
                    done = *x.bready;
                    held++;
                }
            });
            if (address_taken) *x.awvalid = 0;
            if (data_taken) *x.wvalid = 0;
            if (wait && --wait == 0) *(access.skew > 0 ? x.wvalid : x.awvalid) = 1;
            *x.bready = held >= access.hold;
        }
        *x.awvalid = *x.wvalid = *x.bready = 0;
        return !done ? NO_ANSWER : changed ? CHANGED : access.response ? REFUSED : DONE;
    }

    Status read(Access& access, uint64_t patience) {
        const Axil& x = ports.axil;
        std::memcpy(x.araddr, &access.address, 2);
        *x.arvalid = 1;
        *x.rready = access.hold == 0;
        uint32_t held = 0;
        bool done = false, changed = false;
        while (!done && patience--) {
            bool taken = false;
            advance([&] {
                taken = *x.arvalid && *x.arready;
                if (held && (!*x.rvalid || *x.rresp != access.response ||
                             std::memcmp(&access.value, x.rdata, 4)))
                    changed = true;
                if (*x.rvalid) {
                    std::memcpy(&access.value, x.rdata, 4);
                    access.response = *x.rresp;
                    done = *x.rready;
                    held++;
                }
            });
            if (taken) *x.arvalid = 0;
            *x.rready = held >= access.hold;
        }
        *x.arvalid = *x.rready = 0;
        return !done ? NO_ANSWER : changed ? CHANGED : access.response ? REFUSED : DONE;
    }

    // Accesses as fast as the core takes them, writes and reads side by side, answers in order; with
    // a seed, each channel pauses at random.
    Status burst(Access* writes, size_t write_count, Access* reads, size_t read_count,
                 uint64_t seed, uint64_t patience) {
        const Axil& x = ports.axil;
        Random random{seed};
        auto go = [&] { return !seed || random.chance(0.5); };
        size_t addresses = 0, data = 0, written = 0, asked = 0, answered = 0;
        bool changed = false, write_held = false, read_held = false;
        uint32_t write_response = 0, read_response = 0, read_value = 0;
        while ((written < write_count || answered < read_count) && patience--) {
            if (!*x.awvalid && addresses < write_count && go()) {
                std::memcpy(x.awaddr, &writes[addresses].address, 2);
                *x.awvalid = 1;
            }
            if (!*x.wvalid && data < write_count && go()) {
                std::memcpy(x.wdata, &writes[data].value, 4);
                *x.wstrb = writes[data].strobe;
                *x.wvalid = 1;
            }
            if (!*x.arvalid && asked < read_count && go()) {
                std::memcpy(x.araddr, &reads[asked].address, 2);
                *x.arvalid = 1;
            }
            *x.bready = go();
            *x.rready = go();
            bool address_taken = false, data_taken = false, read_taken = false;
            advance([&] {
                address_taken = *x.awvalid && *x.awready;
                data_taken = *x.wvalid && *x.wready;
                read_taken = *x.arvalid && *x.arready;
                uint32_t value = 0;
                std::memcpy(&value, x.rdata, 4);
                if (write_held && (!*x.bvalid || *x.bresp != write_response)) changed = true;
                if (read_held && (!*x.rvalid || *x.rresp != read_response || value != read_value))
                    changed = true;
                write_held = *x.bvalid && !*x.bready;
                read_held = *x.rvalid && !*x.rready;
                write_response = *x.bresp;
                read_response = *x.rresp;
                read_value = value;
                // No answer comes before what it answers has been taken.
                if (*x.bvalid && *x.bready) {
                    if (written < std::min(addresses, data))
                        writes[written++].response = *x.bresp;
                    else
                        changed = true;
                }
                if (*x.rvalid && *x.rready) {
                    if (answered < asked) {
                        reads[answered].response = *x.rresp;
                        reads[answered++].value = value;
                    } else {
                        changed = true;
                    }
                }
            });
            if (address_taken) addresses++, *x.awvalid = 0;
            if (data_taken) data++, *x.wvalid = 0;
            if (read_taken) asked++, *x.arvalid = 0;
        }
        *x.awvalid = *x.wvalid = *x.arvalid = *x.bready = *x.rready = 0;
        const bool done = written == write_count && answered == read_count;
        return !done ? NO_ANSWER : changed ? CHANGED : DONE;
    }
};

}

extern "C" {

Harness* core_new() { return new Harness; }
void core_delete(Harness* harness) { delete harness; }
uint64_t core_reset(Harness* harness, uint64_t cycles) { return harness->reset(cycles); }
void core_begin(Harness* harness, Transfer* transfers) { harness->begin(transfers); }
int core_run(Harness* harness, uint64_t patience, uint64_t most, double seconds) {
    return harness->run(patience, most, seconds);
}
void core_end(Harness* harness) { harness->active = false; }
uint64_t core_cycle(Harness* harness) { return harness->cycle; }
uint64_t core_cycles(Harness* harness) {
    return harness->started && harness->final >= harness->first
        ? harness->final - harness->first + 1 : 0;
}
uint64_t core_paused(Harness* harness) { return harness->paused; }
void core_idle(Harness* harness, uint64_t cycles) {
    while (cycles--) harness->idle([] {});
}
uint64_t core_stray(Harness* harness, size_t stream) { return harness->channels[stream].stray; }
uint64_t core_broken(Harness* harness, size_t stream) { return harness->channels[stream].broken; }
const Seen* core_seen(Harness* harness, size_t stream) { return &harness->seen[stream]; }
int core_write(Harness* harness, Access* access, uint64_t patience) {
    return harness->write(*access, patience);
}
int core_read(Harness* harness, Access* access, uint64_t patience) {
    return harness->read(*access, patience);
}
int core_burst(Harness* harness, Access* writes, size_t write_count, Access* reads,
               size_t read_count, uint64_t seed, uint64_t patience) {
    return harness->burst(writes, write_count, reads, read_count, seed, patience);
}
void core_control(Harness* harness, size_t index, const uint8_t* octets) {
    const Control& control = harness->ports.controls[index];
    std::memcpy(control.port, octets, control.bytes);
}
int core_deposit(Harness* harness, const char* scope, const char* name, uint32_t value) {
    size_t bytes = 0;
    uint8_t* target = harness->core.internal(scope, name, bytes);
    if (target) std::memcpy(target, &value, bytes);
    return target != nullptr;
}
void core_coverage(Harness* harness, const char* path) { harness->core.coverage(path); }
}
