// Rows of a table.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

int32_t embedding_forward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *table, const nf4j_tensor *y) {
    const int32_t *id = at<int32_t>(ids, 0);
    with_type(table->dtype, [&](auto *table_type) {
        with_type(y->dtype, [&](auto *type) {
            for_rows(stream, y->rows, y->cols, [&](int64_t row) {
                const auto *in = at<Pointee<decltype(table_type)>>(table, id[row]);
                auto *out = at<Pointee<decltype(type)>>(y, row);
                for_vectors(y->cols, [&](int64_t j, int64_t n) { store(out + j, load(in + j, n), n); });
            });
        });
    });
    return NF4J_OK;
}

int32_t embedding_backward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *dy,
                           const nf4j_tensor *dtable) {
    const int32_t *id = at<int32_t>(ids, 0);
    const int64_t columns = dy->cols;
    with_type(dy->dtype, [&](auto *type) {
        using T = Pointee<decltype(type)>;
        // Each task owns some columns and takes the tokens in order.
        constexpr int64_t task_columns = 8 * lanes;
        pool_of(stream).parallel_for((columns + task_columns - 1) / task_columns, [&](int64_t task, int) {
            const int64_t begin = task * task_columns;
            const int64_t count = columns - begin < task_columns ? columns - begin : task_columns;
            for (int64_t row = 0; row < dy->rows; row++) {
                const T *g = at<T>(dy, row, begin);
                float *sum = at<float>(dtable, id[row], begin);
                for_vectors(count, [&](int64_t j, int64_t n) { store(sum + j, load(sum + j, n) + load(g + j, n), n); });
            }
        });
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
