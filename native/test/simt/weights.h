// NF4 weights for tests: the same one on several devices.
#pragma once

#include "simt_support.h"

namespace nf4j::test {

// A weight in bitsandbytes' order, in memory of its own.
struct State {
    std::vector<uint8_t> codes, absmax8;
    std::vector<float> absmax, nested_absmax, nested_map, quant_map = std::vector<float>(16);
    nf4j_nf4_state c = {};

    State(int64_t rows, int64_t cols, int64_t block_size, bool nested) {
        const size_t blocks = static_cast<size_t>((rows * cols + block_size - 1) / block_size);
        codes.resize(static_cast<size_t>(rows * cols + 1) / 2);
        if (nested) {
            absmax8.resize(blocks);
            nested_absmax.resize((blocks + 255) / 256);
            nested_map.resize(256);
        } else {
            absmax.resize(blocks);
        }
        c.struct_size = sizeof c;
        c.rows = rows;
        c.cols = cols;
        c.block_size = block_size;
        c.codes = codes.data();
        c.absmax = nested ? nullptr : absmax.data();
        c.absmax8 = nested ? absmax8.data() : nullptr;
        c.quant_map = quant_map.data();
        c.nested_absmax = nested ? nested_absmax.data() : nullptr;
        c.nested_map = nested ? nested_map.data() : nullptr;
    }

    State(const State &) = delete;  // c points into the vectors, which a move leaves where they are
    State(State &&) = default;

    // Integers and powers of two throughout: sums of products with small integers are exact in F32.
    void integers() {
        for (size_t i = 0; i < 16; i++) quant_map[i] = static_cast<float>(integer(-3, 3));
        for (uint8_t &pair : codes) pair = static_cast<uint8_t>(integer(0, 255));
        if (c.rows * c.cols % 2) codes.back() = static_cast<uint8_t>((codes.back() & 0xf0) | 7);
        for (float &scale : absmax) scale = static_cast<float>(1 << integer(0, 2));
        for (uint8_t &scale : absmax8) scale = static_cast<uint8_t>(integer(0, 255));
        for (float &scale : nested_absmax) scale = static_cast<float>(1 << integer(0, 1));
        for (float &value : nested_map) value = static_cast<float>(integer(-1, 1));
        c.nested_offset = c.absmax8 ? 2 : 0;
    }
    bool operator==(const State &o) const {
        return codes == o.codes && absmax8 == o.absmax8 && absmax == o.absmax && nested_absmax == o.nested_absmax &&
               nested_map == o.nested_map && quant_map == o.quant_map && c.nested_offset == o.c.nested_offset;
    }
};

// A weight in a device's layout, in memory of that device.
class Weight {
public:
    nf4j_nf4_weight c = {};

    Weight(const Device &device, int64_t rows, int64_t cols, int64_t block_size, bool nested) : device_(device) {
        c.struct_size = sizeof c;
        c.double_quant = nested;
        c.rows = rows;
        c.cols = cols;
        c.block_size = block_size;
        must(nf4j_nf4_weight_bytes(device.device, rows, cols, block_size, nested, &c.bytes), "nf4_weight_bytes");
        must(nf4j_memory_alloc(device.device, c.bytes, &c.data), "memory_alloc");
        std::memset(c.data, 0xa5, static_cast<size_t>(c.bytes));
    }
    Weight(const Device &device, const State &state)
        : Weight(device, state.c.rows, state.c.cols, state.c.block_size, state.c.absmax8 != nullptr) {
        must(nf4j_nf4_import(device.stream, &state.c, &c), "nf4_import");
    }
    ~Weight() { nf4j_memory_free(device_.device, c.data); }
    Weight(const Weight &) = delete;
    Weight &operator=(const Weight &) = delete;

    void quantize(Matrix &values) {
        const nf4j_tensor tensor = values.tensor();
        must(nf4j_nf4_quantize(device_.stream, &tensor, &c), "nf4_quantize");
    }
    State exported() const {
        State state(c.rows, c.cols, c.block_size, c.double_quant != 0);
        must(nf4j_nf4_export(device_.stream, &c, &state.c), "nf4_export");
        return state;
    }
    Matrix dequantized(int32_t dtype, int64_t first_row, int64_t rows) const {
        Matrix out(rows, c.cols, dtype);
        const nf4j_tensor tensor = out.tensor();
        must(nf4j_nf4_dequantize(device_.stream, &c, first_row, &tensor), "nf4_dequantize");
        return out;
    }

private:
    const Device &device_;
};

}  // namespace nf4j::test
