// What attention computes, in double.
#pragma once

#include "suite.h"

namespace conformance {

struct Attention {
    int32_t heads, kv_heads, head_dim;
    std::vector<int64_t> queries;  // of each sequence
    int32_t dtype = NF4J_F32;
    int32_t window = 0;
    std::vector<int64_t> cached = {};  // keys before the first query of each sequence, or no cache
    float scale = 0.3f;
    bool aligned = false;  // rows begin at multiples of 16 bytes
    bool exact = false;    // weights are 0 and 1, and all else small integers
    // Mistakes: query heads share key-value heads in turn; each query misses its last key.
    bool interleaved = false;
    int64_t missed = 0;
};

// One sequence: rows of q, and of k and v.
struct Sequence {
    int64_t q, queries, kv, keys;
};

std::vector<Sequence> sequences_of(const Attention &c);
int64_t tokens_of(const Attention &c);

// Numbers of matrices, and where the sequences lie.
struct AttentionInputs {
    int q, k, v;
    std::vector<int32_t> q_offsets, kv_offsets, kv_lengths;
};

void model_attention(const Attention &c, const AttentionInputs &in, int lse, int out, Problem &p);
// From lse and out, numbers of matrices like the others.
void model_attention_backward(const Attention &c, const AttentionInputs &in, int lse, int out, int dout, int dq, int dk,
                              int dv, Problem &p);

}  // namespace conformance
