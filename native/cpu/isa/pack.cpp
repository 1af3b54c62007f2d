// Packs dense factors into panels [k][width] of words.
#include "cpu/isa/dropout.h"
#include "cpu/isa/nf4_matrix.h"
#include "cpu/isa/pack.h"
#include "cpu/isa/transpose.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// Rows of `data` run along k: `count` elements of them become words of the panel's columns. Columns past the last row
// repeat it.
template <class T, Words words>
void pack_transposed(const T *data, int64_t ld, int64_t rows, int64_t count, int64_t columns, int64_t width,
                     float *panel) {
    constexpr int64_t step = elements_per_word<words>;
    for (int64_t column = 0; column < columns; column += lanes) {
        const int64_t n = columns - column < lanes ? columns - column : lanes;
        const T *row[lanes];
        for (int64_t r = 0; r < lanes; r++) row[r] = data + (column + r < rows ? column + r : rows - 1) * ld;
        for (int64_t k = 0; k < count; k += lanes * step) {
            Vec square[lanes];
            if (count - k >= lanes * step) {
                for (int64_t r = 0; r < lanes; r++) square[r] = load_words<T, words>(row[r] + k, lanes * step);
            } else {
                for (int64_t r = 0; r < lanes; r++) square[r] = load_words<T, words>(row[r] + k, count - k);
            }
            transpose(square);
            const int64_t left = (count - k + step - 1) / step;
            float *out = panel + k / step * width + column;
            for (int64_t i = 0; i < lanes; i++) {
                if (i < left) store(out + i * width, square[i], n);
            }
        }
    }
}

// Rows of `data` run along the panel's columns, of which `existing` exist; the others become zero.
template <class T, Words words>
void pack_rows(const T *data, int64_t ld, int64_t existing, int64_t count, int64_t width, float *panel) {
    const auto at = [&](int64_t k, int64_t column) {
        const int64_t n = existing - column;
        return n >= lanes ? load(data + k * ld + column) : load(data + k * ld + column, n < 0 ? 0 : n);
    };
    for (int64_t k = 0; k < count; k += elements_per_word<words>, panel += width) {
        for (int64_t column = 0; column < width; column += lanes) {
            Vec word = at(k, column);
            if constexpr (words == Words::bf16_pairs) word = pair_up(word, k + 1 < count ? at(k + 1, column) : zero());
            if constexpr (words == Words::f32_of_bf16 && sizeof(T) == 4) word = rounded_to_bf16(word);
            store(panel + column, word, width - column < lanes ? width - column : lanes);
        }
    }
}

template <class T, Words words>
void pack_typed(const Operand &o, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    const T *data = static_cast<const T *>(o.data);
    const int64_t existing = o.outer - outer0;
    if (o.k_contiguous) {
        pack_transposed<T, words>(data + outer0 * o.ld + k0, o.ld, existing, count, width, width, panel);
    } else {
        pack_rows<T, words>(data + k0 * o.ld + outer0, o.ld, existing, count, width, panel);
    }
}

template <class T>
void pack_plain(const Operand &o, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    switch (words) {
        case Words::f32:
        case Words::bf16_parts: return pack_typed<T, Words::f32>(o, k0, count, outer0, width, panel);
        case Words::f32_of_bf16: return pack_typed<T, Words::f32_of_bf16>(o, k0, count, outer0, width, panel);
        case Words::bf16_pairs: return pack_typed<T, Words::bf16_pairs>(o, k0, count, outer0, width, panel);
    }
}

// Scale and dropout, for up to `staged` elements of one row: each multiplied by scale, then by its factor.
constexpr int64_t staged = 64;

template <class T>
void stage_row(const Operand &o, int64_t row, int64_t column, int64_t count, float *out) {
    float factors[staged];
    if (o.dropout) dropout_factors(*o.dropout, row, column, count, factors);
    const T *data = static_cast<const T *>(o.data) + row * o.ld + column;
    for (int64_t j = 0; j < count; j++) out[j] = to_f32(data[j]) * o.scale * (o.dropout ? factors[j] : 1.0f);
}

template <class T>
void pack_staged(const Operand &o, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    float rows[lanes][staged] = {};
    const int64_t existing = o.outer - outer0 < width ? o.outer - outer0 : width;
    if (o.k_contiguous) {
        for (int64_t k = 0; k < count; k += staged) {
            const int64_t part = count - k < staged ? count - k : staged;
            for (int64_t column = 0; column < width; column += lanes) {
                for (int64_t r = 0; r < lanes && column + r < existing; r++) {
                    stage_row<T>(o, outer0 + column + r, k0 + k, part, rows[r]);
                }
                const int64_t columns = width - column < lanes ? width - column : lanes;
                pack_transposed<float, Words::f32>(rows[0], staged, lanes, part, columns, width,
                                                   panel + k * width + column);
            }
        }
    } else {
        for (int64_t k = 0; k < count; k++) {
            stage_row<T>(o, k0 + k, outer0, existing, rows[0]);
            pack_rows<float, Words::f32>(rows[0], staged, existing, 1, width, panel + k * width);
        }
    }
}

}  // namespace

void pack(const Operand &o, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    if (o.nf4) {
        return (o.k_contiguous ? decode_forward : decode_backward)(Nf4Matrix(*o.nf4), words, k0, count, outer0, width,
                                                                   panel);
    }
    const bool bf16_data = o.dtype == NF4J_BF16;
    if (o.dropout || o.scale != 1)
        return (bf16_data ? pack_staged<bf16> : pack_staged<float>)(o, k0, count, outer0, width, panel);
    (bf16_data ? pack_plain<bf16> : pack_plain<float>)(o, words, k0, count, outer0, width, panel);
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
