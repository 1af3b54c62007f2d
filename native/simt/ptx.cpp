#include "cuda/ptx.cuh"

#include <algorithm>

namespace nf4j::cuda {

using simt::Engine;

uint32_t ballot(bool predicate, Place place) {
    struct Vote {
        bool predicate;
        uint32_t result;
    } mine = {predicate, 0};
    Engine::instance().collective("ballot", place, &mine, [](void *const *lanes) {
        uint32_t mask = 0;
        for (int l = 0; l < warp_size; l++) mask |= uint32_t{static_cast<Vote *>(lanes[l])->predicate} << l;
        for (int l = 0; l < warp_size; l++) static_cast<Vote *>(lanes[l])->result = mask;
    });
    return mine.result;
}

void copy_async_16(SharedAddress to, const void *from, int source, Place place) {
    Engine &engine = Engine::instance();
    simt::Thread &thread = engine.thread();
    if (to.value % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
        engine.report(place, "misaligned: asynchronous copy of 16 bytes from %p to %u of shared memory", from,
                      to.value);
    }
    if (const char *wrong = engine.shared().begin_copy({to.value, 16, thread.warp, place}))
        engine.report(place, "%s", wrong);
    engine.count({to.value, 16, true, place});
    engine.count({reinterpret_cast<uintptr_t>(from), source > 0 ? 16 : 0, false, place});
    thread.copies.push_back({to.value, from, 16, source});
}

void commit_copies(Place) {
    simt::Thread &thread = Engine::instance().thread();
    size_t committed = 0;
    for (size_t group : thread.copy_groups) committed += group;
    thread.copy_groups.push_back(thread.copies.size() - committed);
}

void wait_copies_left(int left) {
    Engine &engine = Engine::instance();
    simt::Thread &thread = engine.thread();
    while (static_cast<int>(thread.copy_groups.size()) > left) {
        const auto count = static_cast<std::ptrdiff_t>(thread.copy_groups.front());
        thread.copy_groups.erase(thread.copy_groups.begin());
        for (auto copy = thread.copies.begin(); copy != thread.copies.begin() + count; ++copy) {
            char *to = engine.shared().memory() + copy->to;
            std::memset(to, 0, static_cast<size_t>(copy->bytes));
            std::memcpy(to, copy->from, static_cast<size_t>(copy->source));
            engine.shared().land({copy->to, copy->bytes, thread.warp, {}});
        }
        thread.copies.erase(thread.copies.begin(), thread.copies.begin() + count);
    }
}

namespace {

struct MatrixRows {
    const char *row;  // 8 elements
    uint32_t *r;
};

// Element (row, column) of matrix `number` of those whose rows the lanes point at.
uint16_t element(void *const *lanes, int number, int row, int column) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const MatrixRows *>(lanes[8 * number + row])->row + 2 * column, 2);
    return bits;
}

template <bool Transposed>
void distribute(void *const *lanes) {
    uint32_t all[warp_size][4];
    for (int l = 0; l < warp_size; l++) {
        for (int m = 0; m < 4; m++) {
            const int i = l / 4, j = l % 4 * 2;
            const uint16_t low = Transposed ? element(lanes, m, j, i) : element(lanes, m, i, j);
            const uint16_t high = Transposed ? element(lanes, m, j + 1, i) : element(lanes, m, i, j + 1);
            all[l][m] = low | uint32_t{high} << 16;
        }
    }
    for (int l = 0; l < warp_size; l++) std::copy_n(all[l], 4, static_cast<MatrixRows *>(lanes[l])->r);
}

template <bool Transposed>
void load(const char *name, uint32_t (&r)[4], SharedAddress row, Place place) {
    MatrixRows mine = {simt::shared_bytes(row.value, 16, 16, false, place), r};
    Engine::instance().collective(name, place, &mine, distribute<Transposed>);
}

struct Fragments {
    float *d;
    const uint32_t *a;
    const uint32_t *b;
};

float low_half(uint32_t pair) { return float_of(pair << 16); }

float high_half(uint32_t pair) { return float_of(pair & 0xffff0000u); }

// Products of BF16 are exact in F32, their sum is rounded once: closer than a tensor core, which drops low bits.
void multiply(void *const *lanes) {
    Engine::instance().count_mma();
    float a[16][16], b[16][8];
    for (int l = 0; l < warp_size; l++) {
        const auto *f = static_cast<const Fragments *>(lanes[l]);
        const int group = l / 4, pair = l % 4 * 2;
        for (int i = 0; i < 4; i++) {
            float *to = &a[group + i % 2 * 8][pair + i / 2 * 8];
            to[0] = low_half(f->a[i]);
            to[1] = high_half(f->a[i]);
        }
        for (int i = 0; i < 2; i++) {
            b[pair + i * 8][group] = low_half(f->b[i]);
            b[pair + i * 8 + 1][group] = high_half(f->b[i]);
        }
    }
    double sums[16][8] = {};
    for (int i = 0; i < 16; i++) {
        for (int k = 0; k < 16; k++) {
            for (int j = 0; j < 8; j++) sums[i][j] += static_cast<double>(a[i][k]) * static_cast<double>(b[k][j]);
        }
    }
    for (int l = 0; l < warp_size; l++) {
        float *d = static_cast<const Fragments *>(lanes[l])->d;
        for (int i = 0; i < 4; i++) {
            d[i] = static_cast<float>(static_cast<double>(d[i]) + sums[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2]);
        }
    }
}

}  // namespace

void load_matrices(uint32_t (&r)[4], SharedAddress row, Place place) { load<false>("load_matrices", r, row, place); }

void load_matrices_transposed(uint32_t (&r)[4], SharedAddress row, Place place) {
    load<true>("load_matrices_transposed", r, row, place);
}

uint32_t transpose_matrix(uint32_t r, Place place) {
    struct Pair {
        uint32_t value, result;
    } mine = {r, 0};
    Engine::instance().collective("transpose_matrix", place, &mine, [](void *const *lanes) {
        const auto at = [&](int row, int column) {
            return static_cast<Pair *>(lanes[row * 4 + column / 2])->value >> (column % 2 * 16) & 0xffff;
        };
        for (int l = 0; l < warp_size; l++) {
            const int row = l / 4, column = l % 4 * 2;
            static_cast<Pair *>(lanes[l])->result = at(column, row) | at(column + 1, row) << 16;
        }
    });
    return mine.result;
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place) {
    Fragments mine = {d, a, b};
    Engine::instance().collective("mma_bf16", place, &mine, multiply);
}

}  // namespace nf4j::cuda
