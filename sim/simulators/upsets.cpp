// Upsets of single bits: flips a bit of the state of a CXXRTL model before a chosen cycle, and takes the
// model back to where it was. Called by systolith.sim.simulators.upsets.

#include "harness.cpp"

namespace {

using cxxrtl::debug_item;

// A register or a memory.
struct Place {
    std::string name;
    debug_item item;
    bool memory;
    size_t words() const { return (item.width + 31) / 32 * item.depth; }
};

struct Upsettable : Harness {
    std::vector<Place> places;
    std::vector<uint32_t> saved;

    Upsettable() {
        cxxrtl::debug_items items;
        core.model.top.debug_info(&items, nullptr, "");
        for (auto& [name, parts] : items.table)
            for (auto& item : parts) {
                const bool memory = item.type == debug_item::MEMORY;
                const bool sync = item.flags & debug_item::DRIVEN_SYNC;
                const bool own = item.type == debug_item::WIRE || item.type == debug_item::VALUE;
                if (item.width && (memory || (own && sync))) places.push_back({name, item, memory});
            }
    }

    template <class Copy> void each_word(Copy copy) {
        size_t position = 0;
        for (auto& place : places) {
            const size_t count = place.words();
            saved.resize(std::max(saved.size(), position + count));
            copy(place, &saved[position], count);
            position += count;
        }
    }
    void save() {
        each_word([](Place& place, uint32_t* to, size_t count) { std::copy_n(place.item.curr, count, to); });
    }
    void restore() {
        each_word([](Place& place, uint32_t* from, size_t count) {
            std::copy_n(from, count, place.item.curr);
            if (!place.memory && place.item.next) std::copy_n(from, count, place.item.next);
        });
    }
};

Upsettable* upsettable(Harness* harness) { return static_cast<Upsettable*>(harness); }

}

extern "C" {

Harness* upset_new() { return new Upsettable; }
void upset_delete(Harness* harness) { delete upsettable(harness); }
size_t upset_places(Harness* harness) { return upsettable(harness)->places.size(); }
const char* upset_name(Harness* harness, size_t place) {
    return upsettable(harness)->places[place].name.c_str();
}
size_t upset_width(Harness* harness, size_t place) { return upsettable(harness)->places[place].item.width; }
size_t upset_depth(Harness* harness, size_t place) { return upsettable(harness)->places[place].item.depth; }
int upset_is_memory(Harness* harness, size_t place) { return upsettable(harness)->places[place].memory; }

void upset_save(Harness* harness) { upsettable(harness)->save(); }

// Which words of a memory are not as they were saved.
void upset_changed(Harness* harness, size_t place, uint8_t* flags) {
    Upsettable* own = upsettable(harness);
    own->each_word([&](Place& one, uint32_t* before, size_t count) {
        if (&one != &own->places[place]) return;
        const size_t chunks = count / one.item.depth;
        for (size_t word = 0; word < one.item.depth; word++)
            flags[word] = !std::equal(before + word * chunks, before + (word + 1) * chunks,
                                      one.item.curr + word * chunks);
    });
}

// Back to what was saved. Before cycle `cycle` from here on, a bit flips; ~0 for none.
void upset_restore(Harness* harness, uint64_t cycle, size_t place, size_t word, size_t bit) {
    Upsettable* own = upsettable(harness);
    own->restore();
    Upset& upset = own->core.model.upset;
    upset = {};
    if (cycle == ~uint64_t(0)) return;
    const Place& target = own->places[place];
    const size_t offset = word * ((target.item.width + 31) / 32) + bit / 32;
    upset.cycle = cycle;
    upset.mask = 1u << bit % 32;
    upset.word = target.item.curr + offset;
    upset.twin = target.memory || target.item.next == target.item.curr ? nullptr : target.item.next + offset;
}
// Cycles since then.
uint64_t upset_cycles(Harness* harness) { return upsettable(harness)->core.model.upset.cycles; }
}
