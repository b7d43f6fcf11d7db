// Drives the top level of a board: a clock, and a UART on its two pins. Bytes go in and out as fast as
// the line carries them; the line's bits are made here, independently of the RTL's.
//
// adapter.h defines `struct Model` with `void eval()`, and CLK, RX and TX.

#include <cstdint>
#include <deque>

#include "adapter.h"

namespace {

struct Board {
    Model model;
    uint64_t divisor, cycle = 0;
    std::deque<uint8_t> sent;                 // to the board
    int tx_left = 0, rx_left = 0;             // bits to go, of ten
    uint64_t tx_timer = 0, rx_timer = 0;
    uint32_t tx_shift = 0, rx_shift = 0;

    explicit Board(uint64_t divisor) : divisor(divisor) { RX = 1; CLK = 0; model.eval(); }

    uint64_t run(uint64_t cycles, uint8_t* received, uint64_t room) {
        uint64_t got = 0;
        while (cycles-- && got < room) {
            if (tx_left && --tx_timer == 0) {
                tx_shift >>= 1;
                tx_timer = divisor;
                tx_left--;
            }
            if (!tx_left && !sent.empty()) {
                tx_shift = 0x200 | sent.front() << 1;
                sent.pop_front();
                tx_left = 10;
                tx_timer = divisor;
            }
            RX = tx_left ? tx_shift & 1 : 1;
            CLK = 0;
            model.eval();
            CLK = 1;
            model.eval();
            cycle++;
            if (!rx_left) {
                if (!TX) {
                    rx_left = 10;
                    rx_timer = divisor / 2 + 1;
                }
            } else if (--rx_timer == 0) {
                rx_timer = divisor;
                rx_shift = rx_shift >> 1 | (TX & 1) << 9;
                if (--rx_left == 0 && rx_shift & 0x200) received[got++] = rx_shift >> 1;
            }
        }
        return got;
    }
};

}

extern "C" {

Board* board_new(uint64_t divisor) { return new Board(divisor); }
void board_delete(Board* board) { delete board; }
void board_send(Board* board, const uint8_t* octets, uint64_t count) {
    board->sent.insert(board->sent.end(), octets, octets + count);
}
uint64_t board_run(Board* board, uint64_t cycles, uint8_t* received, uint64_t room) {
    return board->run(cycles, received, room);
}
uint64_t board_cycle(Board* board) { return board->cycle; }
}
