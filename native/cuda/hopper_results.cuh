// What becomes of the sums of product_hopper.cuh: those of a warp are 16 features by all tokens of the tile.
//
// A lane 4 g + t has two neighbouring tokens of the features g and g + 8, but c's rows are tokens. So where c is BF16 with
// rows of whole quads, pairs of 8x8 sums are turned (movmatrix) and exchanged between the lanes of a quad, and a lane has
// four features of token g: a warp then stores 32 bytes, a whole sector, of each of eight tokens.
//
//                            after movmatrix                          after the exchange
//   features        0 1   2 3   4 5   6 7   8 9  ...          0 1 2 3   4 5 6 7   8 ... 11  12 ... 15
//   lane t of quad   0     1     2     3     0   ...             0         1         2          3
//
//     NF4J_SIMT_DEVICE=H100 make simt-run OP=nf4_matmul M=70 N=256 K=256
#pragma once

#include "cuda/operand.cuh"
#include "cuda/ptx_hopper.cuh"

namespace nf4j::cuda {

class HopperResults {
public:
    // Split s of k has its sums as rows s * m ... of c.
    __device__ HopperResults(const Output &p, int64_t feature0, int64_t token0, int64_t split)
        : p_(p),
          feature0_(feature0),
          token0_(token0),
          first_row_(split * p.m),
          quad_lane_(lane_id() % 4),
          outer_(quad_lane_ % 3 == 0) {
        const int64_t j = feature0 + lane_id() / 4;
        for (int half = 0; half < 2; half++) biases_[half] = bias(j + 8 * half);
    }

    template <int Tokens>
    __device__ void store(const WgmmaSums<Tokens> &sums) const {
        if (p_.c_is_bf16 && p_.quads && p_.n % 4 == 0)
            store_quads(sums);
        else
            p_.c_is_bf16 ? store_elements<bf16>(sums) : store_elements<float>(sums);
    }

private:
    // Sums 4 b ... 4 b + 3 are those of eight tokens: two of them for feature g, two for g + 8.
    template <int Tokens>
    __device__ void store_quads(const WgmmaSums<Tokens> &sums) const {
        int64_t token = token0_ + lane_id() / 4;
        const int64_t j = feature0_ + quad_lane_ * 4;
        bf16 *to = static_cast<bf16 *>(p_.c) + (first_row_ + token) * p_.ldc + j;
#pragma unroll
        for (int b = 0; b < Tokens / 8; b++) {
            const bool there = token < p_.m && j < p_.n;
            Vector<uint32_t, 2> old = {};
            if (p_.beta != 0) {
                if (there) old = load_global<Vector<uint32_t, 2>>(to);
                old = to_features(old);
            }
            Vector<uint32_t, 2> turned;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float results[2];
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    results[e] = p_.alpha * sums.get(4 * b + 2 * half + e) + biases_[half];
                    if (p_.beta != 0)
                        results[e] += p_.beta * bits_to_float(e == 0 ? old.v[half] << 16 : old.v[half] & 0xffff0000u);
                }
                turned.v[half] = transpose_matrix(pack_bf16(results[0], results[1]));
            }
            const Vector<uint32_t, 2> quad = exchange(turned);
            if (there) store_global(to, quad);
            token += 8;
            to += 8 * p_.ldc;
        }
    }

    // Lanes 0 to 3 take what they want of the others: in the first round 0, 3, 1, 2 send it, in the second 1, 2, 0, 3.
    __device__ Vector<uint32_t, 2> exchange(const Vector<uint32_t, 2> &of) const {
        const uint32_t first = from((0x2130 >> 4 * quad_lane_) & 3, outer_ ? of.v[0] : of.v[1]),
                       second = from((0x3021 >> 4 * quad_lane_) & 3, outer_ ? of.v[1] : of.v[0]);
        return outer_ ? Vector<uint32_t, 2>{{first, second}} : Vector<uint32_t, 2>{{second, first}};
    }

    // The way back.
    __device__ Vector<uint32_t, 2> to_features(const Vector<uint32_t, 2> &quad) const {
        const uint32_t first = from((0x1320 >> 4 * quad_lane_) & 3, outer_ ? quad.v[0] : quad.v[1]),
                       second = from((0x3102 >> 4 * quad_lane_) & 3, outer_ ? quad.v[1] : quad.v[0]);
        const uint32_t low = transpose_matrix(outer_ ? first : second),
                       high = transpose_matrix(outer_ ? second : first);
        return {{low, high}};
    }

    __device__ static uint32_t from(int lane_of_quad, uint32_t value) {
        return shuffle(value, lane_id() / 4 * 4 + lane_of_quad);
    }

    // Where nothing can be moved at once; what store_result does, with the work of a row or a column done once.
    template <typename C, int Tokens>
    __device__ void store_elements(const WgmmaSums<Tokens> &sums) const {
        const int64_t i0 = token0_ + lane_id() % 4 * 2, j = feature0_ + lane_id() / 4;
        C *block = static_cast<C *>(p_.c) + (first_row_ + i0) * p_.ldc + j;  // of 8 tokens
#pragma unroll
        for (int r = 0; r < WgmmaSums<Tokens>::registers; r++) {
            const int64_t i = i0 + r / 4 * 8 + r % 2;
            const int half = r / 2 % 2;
            C *to = block + r % 2 * p_.ldc + half * 8;
            if (i < p_.m && j + half * 8 < p_.n) {
                float result = p_.alpha * sums.get(r) + biases_[half];
                if (p_.beta != 0) result += p_.beta * widen(load_global<C>(to));
                store_global(to, narrow<C>(result));
            }
            if (r % 4 == 3) block += 8 * p_.ldc;
        }
    }

    // -0 changes nothing that it is added to.
    __device__ float bias(int64_t j) const { return p_.bias.data && j < p_.n ? p_.bias.load(j) : -0.0f; }

    const Output &p_;
    int64_t feature0_, token0_, first_row_;
    int quad_lane_;
    bool outer_;  // lanes 0 and 3 of a quad, else 1 and 2
    float biases_[2];
};

}  // namespace nf4j::cuda
