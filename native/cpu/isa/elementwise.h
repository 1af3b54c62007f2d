// Splits the elements of a matrix over the threads.
#pragma once

#include "cpu/device.h"
#include "cpu/isa/simd.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

// Calls body(row, column, count) for pieces of rows that cover rows x cols once, about 16 K elements to a task.
template <class Body>
void for_pieces(const nf4j_stream *stream, int64_t rows, int64_t cols, const Body &body) {
    constexpr int64_t task_elements = 16384;
    if (rows == 0 || cols == 0) {
        return;
    }
    const int64_t pieces = (cols + task_elements - 1) / task_elements;  // of a row
    const int64_t task_rows = pieces > 1 ? 1 : task_elements / cols;
    const int64_t row_groups = (rows + task_rows - 1) / task_rows;
    pool_of(stream).parallel_for(row_groups * pieces, [&](int64_t task, int) {
        const int64_t first = task / pieces * task_rows;
        const int64_t last = first + task_rows < rows ? first + task_rows : rows;
        const int64_t column = task % pieces * task_elements;
        const int64_t count = cols - column < task_elements ? cols - column : task_elements;
        for (int64_t row = first; row < last; row++) {
            body(row, column, count);
        }
    });
}

// Calls body(row) for every row of `cols` elements, short rows several to a task.
template <class Body>
void for_rows(const nf4j_stream *stream, int64_t rows, int64_t cols, const Body &body) {
    constexpr int64_t task_elements = 16384;
    const int64_t task_rows = cols >= task_elements ? 1 : cols > 0 ? task_elements / cols : task_elements;
    pool_of(stream).parallel_for((rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
        const int64_t last = (task + 1) * task_rows < rows ? (task + 1) * task_rows : rows;
        for (int64_t row = task * task_rows; row < last; row++) {
            body(row);
        }
    });
}

// T of T *.
template <typename Pointer>
struct PointeeOf;
template <typename T>
struct PointeeOf<T *> {
    using type = T;
};
template <typename Pointer>
using Pointee = typename PointeeOf<Pointer>::type;

// Calls body with a null pointer of the element type that `dtype`, F32 or BF16, stands for.
template <class Body>
void with_type(int32_t dtype, const Body &body) {
    if (dtype == NF4J_F32) {
        body(static_cast<float *>(nullptr));
    } else {
        body(static_cast<bf16 *>(nullptr));
    }
}

// Calls body(j, n) for the columns j ... j + n - 1 of pieces of at most one vector.
template <class Body>
void for_vectors(int64_t columns, const Body &body) {
    int64_t j = 0;
    for (; j + lanes <= columns; j += lanes) body(j, lanes);
    if (j < columns) body(j, columns - j);
}

// The address of element (row, column).
template <typename T>
T *at(const nf4j_tensor *tensor, int64_t row, int64_t column = 0) {
    return static_cast<T *>(tensor->data) + row * tensor->ld + column;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
