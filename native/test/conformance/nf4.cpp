// NF4 weights: quantization, decoding, and bitsandbytes' form of them.
#include "suite.h"

#include <algorithm>
#include <cstring>

namespace conformance {

namespace {

constexpr int64_t block_sizes[] = {32, 64, 128, 256, 512, 1024, 2048, 4096};

// The arrays of a state as outputs of a problem, a byte for each code.
struct StateOutputs {
    int codes, padding = none, quant_map, absmax = none, absmax8 = none, nested_absmax = none, nested_map = none,
               nested_offset = none;

    StateOutputs(Problem &p, const Nf4 &w) {
        codes = p.output("codes", w.rows, w.cols, NF4J_U8);
        if (w.rows * w.cols % 2) padding = p.output("the padding of codes", 1, 1, NF4J_U8);
        quant_map = p.output("quant_map", 1, 16, NF4J_F32);
        if (!w.nested) absmax = p.output("absmax", 1, w.blocks(), NF4J_F32);
        if (!w.nested) return;
        absmax8 = p.output("absmax8", 1, w.blocks(), NF4J_U8);
        nested_absmax = p.output("nested_absmax", 1, (w.blocks() + 255) / 256, NF4J_F32);
        nested_map = p.output("nested_map", 1, 256, NF4J_F32);
        nested_offset = p.output("nested_offset", 1, 1, NF4J_F32);
    }

    // Exports the weight into the outputs.
    int32_t write(const Call &call, const nf4j_nf4_weight &weight) const {
        Nf4 w(weight.rows, weight.cols, weight.block_size, weight.double_quant != 0);
        nf4j_nf4_state state = w.state();
        int32_t status = nf4j_nf4_export(call.stream, &weight, &state);
        std::vector<uint8_t> unpacked;
        for (int64_t i = 0; i < w.rows * w.cols; i++)
            unpacked.push_back(static_cast<uint8_t>(w.code(i / w.cols, i % w.cols)));
        uint8_t last = w.codes.back() & 15;
        const auto put = [&](int matrix, void *data) {
            if (status != NF4J_OK || matrix == none) return;
            nf4j_tensor host = *call[matrix];
            host.data = data;
            host.ld = host.cols;
            status = nf4j_memory_copy(call.stream, &host, call[matrix]);
        };
        put(codes, unpacked.data());
        put(padding, &last);
        put(quant_map, state.quant_map);
        put(absmax, state.absmax);
        put(absmax8, state.absmax8);
        put(nested_absmax, state.nested_absmax);
        put(nested_map, state.nested_map);
        put(nested_offset, &state.nested_offset);
        if (status == NF4J_OK) status = nf4j_stream_synchronize(call.stream);  // before the arrays go
        return status;
    }
};

// Memory for a weight, with bytes behind it that nobody may touch. invoke() may not end the program: it returns what
// failed.
template <class Use>
int32_t with_weight(const Call &call, const Nf4 &shape, const Use &use) {
    constexpr int64_t band = 256;
    nf4j_nf4_weight weight = {sizeof weight, shape.nested, shape.rows, shape.cols, shape.block_size, nullptr, 0};
    must(nf4j_nf4_weight_bytes(call.device, shape.rows, shape.cols, shape.block_size, shape.nested, &weight.bytes),
         "nf4_weight_bytes");
    must(nf4j_memory_alloc(call.device, weight.bytes + band, &weight.data), "memory_alloc");
    const nf4j_tensor all = {weight.data, 1, weight.bytes + band, weight.bytes + band, NF4J_U8, 0};
    const int32_t filled = nf4j_memory_fill(call.stream, 0xa5, &all);
    int32_t status = filled == NF4J_OK ? use(weight) : filled;
    std::vector<uint8_t> behind(band);
    const nf4j_tensor from = {static_cast<char *>(weight.data) + weight.bytes, 1, band, band, NF4J_U8, 0};
    const nf4j_tensor to = {behind.data(), 1, band, band, NF4J_U8, 0};
    int32_t copied = nf4j_memory_copy(call.stream, &from, &to);
    if (copied == NF4J_OK) copied = nf4j_stream_synchronize(call.stream);
    if (status == NF4J_OK) status = copied;
    if (filled == NF4J_OK && copied == NF4J_OK && std::count(behind.begin(), behind.end(), 0xa5) != band)
        status = NF4J_INTERNAL;
    must(nf4j_memory_free(call.device, weight.data), "memory_free");
    return status;
}

void model_quantize(const Nf4 &shape, int w, const StateOutputs &out, Problem &p) {
    const int64_t count = shape.rows * shape.cols, blocks = shape.blocks();
    std::vector<double> largest(static_cast<size_t>(blocks));
    for (int64_t e = 0; e < count; e++) {
        double &scale = largest[static_cast<size_t>(e / shape.block_size)];
        scale = std::max(scale, std::fabs(p[w].values[static_cast<size_t>(e)]));
    }
    for (int64_t e = 0; e < count; e++) {
        const double scale = largest[static_cast<size_t>(e / shape.block_size)];
        const Real x = scale > 0 ? Real(p[w].values[static_cast<size_t>(e)]) * (Real(1) / Real(scale)) : Real(0);
        p.expect_nearest(out.codes, e / shape.cols, e % shape.cols, nf4_values(), x);
    }
    if (out.padding != none) p.expect_between(out.padding, 0, 0, 7, 7, 7);
    for (int64_t i = 0; i < 16; i++)
        p.expect(out.quant_map, 0, i, rounded(NF4J_F32, nf4_values()[static_cast<size_t>(i)]));
    for (int64_t b = 0; !shape.nested && b < blocks; b++) {
        // A last block that is shorter keeps a scale above 0.
        const double scale = largest[static_cast<size_t>(b)];
        p.expect_between(out.absmax, 0, b, scale, scale, std::max(scale, rounded(NF4J_F32, 1e-38)));
    }
    if (!shape.nested) return;
    Sum sum;
    for (double scale : largest) sum.add(scale);
    const Real offset = sum / Real(static_cast<double>(blocks));
    p.expect(out.nested_offset, 0, 0, offset);
    for (int64_t i = 0; i < 256; i++)
        p.expect(out.nested_map, 0, i, from_table(dynamic_values(true)[static_cast<size_t>(i)]));
    for (int64_t group = 0; group < (blocks + 255) / 256; group++) {
        const int64_t begin = group * 256, end = std::min(blocks, begin + 256);
        Real scale;
        for (int64_t b = begin; b < end; b++) {
            const Real difference = Real(largest[static_cast<size_t>(b)]) - offset;
            scale.value = std::max(scale.value, std::fabs(difference.value));
            scale.error = std::max(scale.error, difference.error);
        }
        p.expect(out.nested_absmax, 0, group, scale);
        for (int64_t b = begin; b < end; b++) {
            Real x = (Real(largest[static_cast<size_t>(b)]) - offset) * (Real(1) / scale);
            x.error += 1 / 65535.0;  // bitsandbytes looks codes up on a grid of 65,536 values
            if (std::isfinite(x.error)) {
                p.expect_nearest(out.absmax8, 0, b, dynamic_values(true), x);
            } else {
                p.expect_between(out.absmax8, 0, b, 0, 0, 255);  // equal scales: the code is multiplied by 0
            }
        }
    }
}

void build_quantize(const Nf4 &shape, int32_t dtype, Problem &p, Random &random) {
    const int w = p.input("w", shape.rows, shape.cols, dtype);
    p[w].gap = 0;
    p[w].fill([&](int64_t i, int64_t) { return i == 2 ? 0 : 0.05 * normal(random); });
    const StateOutputs out(p, shape);
    p.portable = true;
    p.capturable = false;  // the call allocates
    p.invoke = [=](const Call &call) {
        return with_weight(call, shape, [&](const nf4j_nf4_weight &weight) {
            const int32_t status = nf4j_nf4_quantize(call.stream, call[w], &weight);
            return status == NF4J_OK ? out.write(call, weight) : status;
        });
    };
    p.model = [=](Problem &q) { model_quantize(shape, w, out, q); };
    p.off_by_one_row(w);
    p.off_by_one_column(w);
}

// Into the backend's layout and out again, without loss.
void build_export(const Nf4 &shape, Problem &p, Random &random) {
    p.weights.push_back(shape);
    p.weights[0].reals(random);
    const StateOutputs out(p, shape);
    p.exact = true;
    p.capturable = false;
    p.invoke = [=](const Call &call) { return out.write(call, *call.weight(0)); };
    p.model = [=](Problem &q) {
        const Nf4 &w = q.weights[0];
        for (int64_t i = 0; i < w.rows; i++) {
            for (int64_t j = 0; j < w.cols; j++) q.expect(out.codes, i, j, w.code(i, j));
        }
        if (out.padding != none) q.expect(out.padding, 0, 0, 7);
        const auto expect = [&](int matrix, const auto &values) {
            for (size_t i = 0; i < values.size(); i++) q.expect(matrix, 0, static_cast<int64_t>(i), values[i]);
        };
        expect(out.quant_map, w.quant_map);
        expect(out.absmax, w.absmax);
        expect(out.absmax8, w.absmax8);
        expect(out.nested_absmax, w.nested_absmax);
        expect(out.nested_map, w.nested_map);
        if (w.nested) q.expect(out.nested_offset, 0, 0, w.nested_offset);
    };
    p.decoded_wrongly(0);
}

// Decoding is exact: a product in F32, rounded to the type.
void build_dequantize(const Nf4 &shape, int32_t dtype, Problem &p, Random &random) {
    p.weights.push_back(shape);
    p.weights[0].reals(random);
    const int64_t first = shape.rows / 3, rows = shape.rows - first - shape.rows / 4;
    const int out = p.output("out", rows, shape.cols, dtype, Tokens::rows);
    p.exact = true;
    p.anywhere = true;
    p.invoke = [=](const Call &call) { return nf4j_nf4_dequantize(call.stream, call.weight(0), first, call[out]); };
    const auto model = [=](Problem &q, int64_t from) {
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < shape.cols; j++) q.expect(out, i, j, q.weights[0].at(from + i, j));
        }
    };
    p.model = [=](Problem &q) { model(q, first); };
    p.variants.push_back({"row by row",
                          [=](const Call &call) {
                              int32_t status = NF4J_OK;
                              for (int64_t i = 0; i < rows && status == NF4J_OK; i++) {
                                  status =
                                      nf4j_nf4_dequantize(call.stream, call.weight(0), first + i, call.part(i, 1)[out]);
                              }
                              return status;
                          },
                          {}});
    p.decoded_wrongly(0);
    if (first > 0) {
        p.mistakes.push_back(
            {"the row before", [=](Problem &q) { q.model = [=](Problem &r) { model(r, first - 1); }; }});
    }
}

}  // namespace

void add_nf4(Suite &suite) {
    const struct {
        int64_t rows, cols;
    } shapes[] = {{1, 1}, {16, 64}, {33, 57}, {5, 1000}, {130, 96}, {7, 31}, {70, 192}, {257, 130}};
    for (const auto &s : shapes) {
        for (int64_t block_size : block_sizes) {
            for (bool nested : {false, true}) {
                const Nf4 shape(s.rows, s.cols, block_size, nested);
                const std::string what = text("n%d-k%d-block%d%s", static_cast<int>(s.rows), static_cast<int>(s.cols),
                                              static_cast<int>(block_size), nested ? "-nested" : "");
                const bool large = s.rows * s.cols > 20000;
                suite.add(
                    "nf4_export", what, [=](Problem &p, Random &random) { build_export(shape, p, random); }, large);
                for (int32_t dtype : {NF4J_F32, NF4J_BF16, NF4J_F16}) {
                    const std::string typed = what + "-" + name_of(dtype);
                    suite.add(
                        "nf4_quantize", typed,
                        [=](Problem &p, Random &random) { build_quantize(shape, dtype, p, random); }, large);
                    suite.add(
                        "nf4_dequantize", typed,
                        [=](Problem &p, Random &random) { build_dequantize(shape, dtype, p, random); }, large);
                }
            }
        }
    }
    // More scales than one term of the mean's cascade has (256 rows of 32 of them).
    suite.add("nf4_quantize", "n521-k512-block32-nested-f32",
              [](Problem &p, Random &random) { build_quantize(Nf4(521, 512, 32, true), NF4J_F32, p, random); });
}

}  // namespace conformance
