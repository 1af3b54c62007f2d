#include "cuda/nf4.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/nf4_dequantize.cuh"
#include "cuda/product.h"

#include <algorithm>

namespace nf4j::cuda {

namespace {

constexpr int warps = nf4_threads / warp_size;

// Blocks of threads for the tiles of `rows` rows.
int64_t blocks_for_tiles(const Nf4View &weight, int64_t rows) {
    return ceil_div(ceil_div(rows, nf4_tile_rows) * weight.tile_cols, warps);
}

template <typename T>
int32_t quantize(nf4j_stream *stream, const Matrix<T> &w, const nf4j_nf4_weight *weight) {
    const Nf4Blob blob = nf4_blob(weight);
    const Nf4View view = nf4_view(weight);
    const int64_t n = blob.rows * blob.cols;
    const Tables *tables = tables_of(stream);
    auto *absmax = blob.absmax32;
    if (!absmax) absmax = static_cast<float *>(workspace(stream, "nf4_quantize", blob.blocks * 4));
    if (!absmax) return NF4J_OUT_OF_MEMORY;

    int32_t status = copy(stream, blob.quant_map, 0, tables->nf4_code, 0, sizeof tables->nf4_code, 1);
    if (status != NF4J_OK) return status;
    status = launch(stream, "nf4_absmax", ceil_div(blob.blocks << absmax_lanes_shift(view.block_shift), nf4_threads),
                    nf4_threads, 0, nf4_absmax_kernel<T>, w.data, n, w.is_aligned(), view.block_shift, absmax);
    if (status != NF4J_OK) return status;
    if (weight->double_quant) {
        status = copy(stream, blob.nested_map, 0, tables->signed_map, 0, sizeof tables->signed_map, 1);
        if (status != NF4J_OK) return status;
        status = launch(stream, "nf4_mean", 1, mean_threads, mean_shared_bytes, nf4_mean_kernel, absmax, blob.blocks,
                        blob.nested_offset);
        if (status != NF4J_OK) return status;
        status = launch(stream, "nf4_nested", blob.nested_blocks, nf4_threads, reduce_bytes<nf4_threads, float>(),
                        nf4_nested_kernel, absmax, blob.blocks, tables->signed_map, blob.nested_offset, blob.absmax8,
                        blob.nested_absmax);
        if (status != NF4J_OK) return status;
    }
    Nf4Thresholds thresholds;
    std::copy(nf4_threshold.begin(), nf4_threshold.end(), thresholds.midpoint);
    const bool by_rows = view.scale_per_row && w.is_aligned();
    return launch(stream, "nf4_encode", blocks_for_tiles(view, view.rows), nf4_threads, 0,
                  by_rows ? nf4_encode_rows_kernel<T> : nf4_encode_kernel<T>, w, view, absmax, thresholds);
}

// The sections beside the codes: body(device, host, bytes) for each.
template <class Body>
int32_t for_sections(const Nf4Blob &blob, const nf4j_nf4_state *state, const Body &body) {
    int32_t status = body(blob.quant_map, state->quant_map, 16 * 4);
    if (blob.absmax32) return status != NF4J_OK ? status : body(blob.absmax32, state->absmax, blob.blocks * 4);
    if (status == NF4J_OK) status = body(blob.absmax8, state->absmax8, blob.blocks);
    if (status == NF4J_OK) status = body(blob.nested_absmax, state->nested_absmax, blob.nested_blocks * 4);
    return status != NF4J_OK ? status : body(blob.nested_map, state->nested_map, 256 * 4);
}

// Calls body(first row, flat bytes on the device, their place in the state, bytes) for rows whose flat codes fit the
// workspace.
template <class Body>
int32_t for_slabs(nf4j_stream *stream, const char *name, const nf4j_nf4_weight *weight, const Body &body) {
    const int64_t band_bytes = weight->cols * (nf4_tile_rows / 2);
    auto *flat = static_cast<uint8_t *>(workspace(stream, name, band_bytes));
    if (!flat) return NF4J_OUT_OF_MEMORY;
    const int64_t slab_rows = stream->workspace_bytes / band_bytes * nf4_tile_rows;
    for (int64_t row = 0; row < weight->rows; row += slab_rows) {
        const int64_t rows = std::min(slab_rows, weight->rows - row);
        const int32_t status = body(row, flat, row * weight->cols / 2, (rows * weight->cols + 1) / 2, rows);
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

}  // namespace

int64_t nf4_weight_bytes(int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant) {
    return Nf4Layout(rows, cols, block_size, double_quant != 0, nf4_code_bytes(rows, cols)).bytes;
}

const void *any_kernel() { return reinterpret_cast<const void *>(nf4_mean_kernel); }

int32_t nf4_quantize(nf4j_stream *stream, const nf4j_tensor *w, const nf4j_nf4_weight *weight) {
    switch (w->dtype) {
        case NF4J_F32: return quantize(stream, matrix_of<float>(w), weight);
        case NF4J_BF16: return quantize(stream, matrix_of<bf16>(w), weight);
        default: return quantize(stream, matrix_of<f16>(w), weight);
    }
}

int32_t dequantize_panel(nf4j_stream *stream, const Nf4View &weight, int64_t first_row, int64_t first_col,
                         const nf4j_tensor *out) {
    if (out->rows == 0) return NF4J_OK;
    const int64_t tile_cols = out->cols / nf4_tile_cols;
    const int64_t tiles = ceil_div(first_row % nf4_tile_rows + out->rows, nf4_tile_rows) * tile_cols;
    const int64_t enough = ceil_div(tiles, dequantize_warps * dequantize_least_tiles);
    const int64_t places = int64_t{dequantize_blocks_per_multiprocessor} * traits_of(stream).multiprocessors;
    return launch(stream, "nf4_dequantize", std::min(enough, places), dequantize_threads, DecodeTables::shared_bytes,
                  nf4_dequantize_kernel, weight, first_row, out->rows, first_col / nf4_tile_cols, tile_cols,
                  matrix_of<bf16>(out));
}

int32_t nf4_dequantize(nf4j_stream *stream, const nf4j_nf4_weight *weight, int64_t first_row, const nf4j_tensor *out) {
    const Nf4View view = nf4_view(weight);
    if (out->dtype == NF4J_BF16 && view.scale_per_row && matrix_of<bf16>(out).is_aligned())
        return dequantize_panel(stream, view, first_row, 0, out);
    const auto run = [&](auto type) {
        using T = decltype(type);
        return for_each_element(stream, "nf4_dequantize", out->rows, out->cols,
                                Nf4Dequantize<T>{view, first_row, matrix_of<T>(out)});
    };
    return out->dtype == NF4J_F16 ? run(f16{}) : with_type(out->dtype, run);
}

int32_t nf4_import(nf4j_stream *stream, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight) {
    const Nf4Blob blob = nf4_blob(weight);
    const Nf4View view = nf4_view(weight);
    const auto upload = [&](void *device, const void *host, int64_t bytes) {
        return copy(stream, device, 0, host, 0, bytes, 1);
    };
    int32_t status = for_sections(blob, state, upload);
    if (status == NF4J_OK && weight->double_quant) status = upload(blob.nested_offset, &state->nested_offset, 4);
    if (status != NF4J_OK) return status;
    return for_slabs(stream, "nf4_import", weight,
                     [&](int64_t row, uint8_t *flat, int64_t at, int64_t bytes, int64_t rows) {
                         const int32_t uploaded = upload(flat, state->codes + at, bytes);
                         if (uploaded != NF4J_OK) return uploaded;
                         return launch(stream, "nf4_import", blocks_for_tiles(view, rows), nf4_threads, 0,
                                       nf4_import_kernel, view, row, flat);
                     });
}

int32_t nf4_export(nf4j_stream *stream, const nf4j_nf4_weight *weight, nf4j_nf4_state *state) {
    const Nf4Blob blob = nf4_blob(weight);
    const auto download = [&](const void *device, void *host, int64_t bytes) {
        return copy(stream, host, 0, device, 0, bytes, 1);
    };
    int32_t status = for_sections(blob, state, download);
    if (status == NF4J_OK && weight->double_quant) status = download(blob.nested_offset, &state->nested_offset, 4);
    if (status != NF4J_OK) return status;
    status =
        for_slabs(stream, "nf4_export", weight, [&](int64_t row, uint8_t *flat, int64_t at, int64_t bytes, int64_t) {
            const Nf4Export unpack = {nf4_view(weight), row, weight->rows * weight->cols, flat};
            const int32_t unpacked = for_each_element(stream, "nf4_export", 1, bytes, unpack);
            return unpacked != NF4J_OK ? unpacked : download(flat, state->codes + at, bytes);
        });
    return status != NF4J_OK ? status : stream_synchronize(stream);  // the state is in host memory
}

}  // namespace nf4j::cuda
