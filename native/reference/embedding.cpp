#include "reference/element.h"
#include "reference/reference.h"

namespace nf4j::reference {

int32_t embedding_forward(nf4j_stream *, const nf4j_tensor *ids, const nf4j_tensor *table, const nf4j_tensor *y) {
    for (int64_t t = 0; t < y->rows; t++) {
        const int64_t id = static_cast<const int32_t *>(ids->data)[t];
        for (int64_t j = 0; j < y->cols; j++) store(y, t, j, load(table, id, j));
    }
    return NF4J_OK;
}

int32_t embedding_backward(nf4j_stream *, const nf4j_tensor *ids, const nf4j_tensor *dy, const nf4j_tensor *dtable) {
    for (int64_t t = 0; t < dy->rows; t++) {
        const int64_t id = static_cast<const int32_t *>(ids->data)[t];
        for (int64_t j = 0; j < dy->cols; j++) store(dtable, id, j, load(dtable, id, j) + load(dy, t, j));
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
