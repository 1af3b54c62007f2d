#include "reference/element.h"
#include "reference/reference.h"

#include <cmath>

namespace nf4j::reference {

namespace {

// Rotates (x1, x2), the halves of each head, by the table's angles times `direction`.
void rotate(const nf4j_tensor *x, const nf4j_tensor *table, double direction, const nf4j_tensor *y) {
    const int64_t head_dim = table->cols;
    const int64_t half = head_dim / 2;
    for (int64_t t = 0; t < x->rows; t++) {
        for (int64_t head = 0; head < x->cols; head += head_dim) {
            for (int64_t j = 0; j < half; j++) {
                const double cos = load(table, t, j);
                const double sin = direction * load(table, t, half + j);
                const double x1 = load(x, t, head + j);
                const double x2 = load(x, t, head + half + j);
                store(y, t, head + j, x1 * cos - x2 * sin);
                store(y, t, head + half + j, x2 * cos + x1 * sin);
            }
        }
    }
}

}  // namespace

int32_t rope_table(nf4j_stream *, const nf4j_tensor *positions, const nf4j_tensor *inv_freq, float scale,
                   const nf4j_tensor *table) {
    const int64_t half = table->cols / 2;
    for (int64_t t = 0; t < table->rows; t++) {
        for (int64_t j = 0; j < half; j++) {
            const float angle = static_cast<float>(load(positions, 0, t)) * static_cast<float>(load(inv_freq, 0, j));
            store(table, t, j, scale * std::cos(static_cast<double>(angle)));
            store(table, t, half + j, scale * std::sin(static_cast<double>(angle)));
        }
    }
    return NF4J_OK;
}

int32_t rope_forward(nf4j_stream *, const nf4j_tensor *x, const nf4j_tensor *table, const nf4j_tensor *y) {
    rotate(x, table, 1, y);
    return NF4J_OK;
}

int32_t rope_backward(nf4j_stream *, const nf4j_tensor *dy, const nf4j_tensor *table, const nf4j_tensor *dx) {
    rotate(dy, table, -1, dx);
    return NF4J_OK;
}

}  // namespace nf4j::reference
