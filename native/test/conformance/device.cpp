#include "device.h"

#include "current_case.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace conformance {

namespace {

constexpr const char *isas[] = {"auto", "generic", "avx2", "avx512", "avx512_bf16", "neon", "amx_bf16"};
// What simt models, by ordinal: kernels are chosen by the device.
constexpr const char *simt_isas[] = {"sm_80", "sm_90a"};

nf4j_device_options options_of(const Target &target, int32_t threads) {
    nf4j_device_options options = {};
    options.struct_size = sizeof options;
    options.backend = target.backend;
    options.isa = target.isa;
    options.ordinal = target.ordinal;
    options.threads = threads;
    return options;
}

// What nf4j_backend_probe says of a backend, or of one of its instruction sets.
std::string probe(const Target &target) {
    char text[1024] = "";
    nf4j_backend_probe(target.backend, text, sizeof text);
    const std::string all = text, variant = target.name + ": ";
    const size_t begin = all.find(variant);
    if (begin == std::string::npos) return all;
    return all.substr(begin + variant.size(), all.find('\n', begin) - begin - variant.size());
}

Target make_target(int32_t backend, int32_t isa, int32_t ordinal, const char *backend_name, const char *isa_name) {
    Target target = {backend, isa, ordinal, backend_name, std::string("--backend ") + backend_name, ""};
    if (isa_name) {
        target.name = backend == NF4J_BACKEND_CPU ? isa_name : target.name + " " + isa_name;
        target.arguments += std::string(" --isa ") + isa_name;
    }
    const nf4j_device_options options = options_of(target, 1);
    nf4j_device *device = nullptr;
    if (nf4j_device_open(&options, &device) != NF4J_OK) target.missing = probe(target);
    nf4j_device_close(device);
    return target;
}

// Bytes that no kernel writes by chance: NaN as F32 and BF16 around inputs, so that reading beyond a row shows as well.
// Outputs have others, or copying a gap would go unseen.
constexpr char input_guard = static_cast<char>(0xff), output_guard = static_cast<char>(0xfe);
constexpr int64_t band = 256;  // bytes

// Either end may be host memory.
void copy_bytes(nf4j_stream *stream, void *from, void *to, int64_t bytes) {
    const nf4j_tensor src = {from, 1, bytes, bytes, NF4J_U8, 0}, dst = {to, 1, bytes, bytes, NF4J_U8, 0};
    must(nf4j_memory_copy(stream, &src, &dst), "memory_copy");
}

// A matrix in device memory: band, rows with gaps, band.
class DeviceMatrix {
public:
    DeviceMatrix(const Problem &problem, size_t index, nf4j_device *device, nf4j_stream *stream)
        : matrix_(problem.matrices[index]), device_(device) {
        const int64_t size = size_of(matrix_.dtype), ld = matrix_.cols + matrix_.gap;
        // Some matrices begin at a cache line, others one or two elements behind it.
        begin_ = band + (matrix_.aligned ? 0 : static_cast<int64_t>(index % 3) * size);
        host_.assign(static_cast<size_t>(begin_ + matrix_.rows * ld * size + band),
                     matrix_.is_output ? output_guard : input_guard);
        for (int64_t i = 0; i < matrix_.rows; i++) {
            for (int64_t j = 0; j < matrix_.cols; j++) encode(matrix_.dtype, matrix_.at(i, j), element(host_, i, j));
        }
        must(nf4j_memory_alloc(device_, static_cast<int64_t>(host_.size()), &data_), "memory_alloc");
        copy(stream, host_.data(), data_);
        tensor = {static_cast<char *>(data_) + begin_, matrix_.rows, matrix_.cols, ld, matrix_.dtype, 0};
    }
    ~DeviceMatrix() { nf4j_memory_free(device_, data_); }
    DeviceMatrix(const DeviceMatrix &) = delete;
    DeviceMatrix &operator=(const DeviceMatrix &) = delete;

    // The elements of an output. False when something else has changed.
    bool read(nf4j_stream *stream, std::vector<char> *elements) {
        std::vector<char> now(host_.size());
        copy(stream, data_, now.data());
        must(nf4j_stream_synchronize(stream), "stream_synchronize");
        const auto row_bytes = static_cast<size_t>(matrix_.cols * size_of(matrix_.dtype));
        for (int64_t i = 0; matrix_.is_output && i < matrix_.rows; i++) {
            char *row = element(now, i, 0);
            elements->insert(elements->end(), row, row + row_bytes);
            std::copy_n(element(host_, i, 0), row_bytes, row);
        }
        return now == host_;
    }

    nf4j_tensor tensor;

private:
    char *element(std::vector<char> &bytes, int64_t i, int64_t j) const {
        return bytes.data() + begin_ + (i * (matrix_.cols + matrix_.gap) + j) * size_of(matrix_.dtype);
    }
    void copy(nf4j_stream *stream, void *from, void *to) const {
        copy_bytes(stream, from, to, static_cast<int64_t>(host_.size()));
    }

    const Matrix &matrix_;
    nf4j_device *device_;
    int64_t begin_;
    std::vector<char> host_;
    void *data_ = nullptr;
};

// A weight in a device's layout, with a band behind it.
class DeviceWeight {
public:
    DeviceWeight(const Nf4 &w, nf4j_device *device, nf4j_stream *stream) : device_(device) {
        weight.struct_size = sizeof weight;
        weight.double_quant = w.nested;
        weight.rows = w.rows;
        weight.cols = w.cols;
        weight.block_size = w.block_size;
        must(nf4j_nf4_weight_bytes(device_, w.rows, w.cols, w.block_size, w.nested, &weight.bytes), "nf4_weight_bytes");
        must(nf4j_memory_alloc(device_, weight.bytes + band, &weight.data), "memory_alloc");
        std::vector<char> untouched(static_cast<size_t>(weight.bytes + band), input_guard);
        copy_bytes(stream, untouched.data(), weight.data, weight.bytes + band);
        Nf4 copy = w;  // states are not const
        const nf4j_nf4_state state = copy.state();
        must(nf4j_nf4_import(stream, &state, &weight), "nf4_import");
        before_ = bytes(stream);
    }
    ~DeviceWeight() { nf4j_memory_free(device_, weight.data); }
    DeviceWeight(const DeviceWeight &) = delete;
    DeviceWeight &operator=(const DeviceWeight &) = delete;

    bool unchanged(nf4j_stream *stream) const { return bytes(stream) == before_; }

    nf4j_nf4_weight weight = {};

private:
    std::vector<char> bytes(nf4j_stream *stream) const {
        std::vector<char> now(static_cast<size_t>(weight.bytes + band));
        copy_bytes(stream, weight.data, now.data(), weight.bytes + band);
        must(nf4j_stream_synchronize(stream), "stream_synchronize");
        return now;
    }

    nf4j_device *device_;
    std::vector<char> before_;
};

}  // namespace

void must(int32_t status, const char *what) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s: %s\n", what, nf4j_last_error());
    print_current_case();
    std::exit(1);
}

std::vector<Target> find_targets(const std::string &backend, const std::string &isa) {
    const bool all = backend == "all";
    std::vector<Target> targets;
    if (all || backend == "reference")
        targets.push_back(make_target(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 0, "reference", nullptr));
    for (int32_t i = NF4J_ISA_GENERIC; i <= NF4J_ISA_AMX_BF16; i++) {
        if ((all || backend == "cpu") && (isa.empty() || isa == isas[i]))
            targets.push_back(make_target(NF4J_BACKEND_CPU, i, 0, "cpu", isas[i]));
    }
    for (int32_t i = 0; i < 2; i++) {
        if ((all || backend == "simt") && (isa.empty() || isa == simt_isas[i]))
            targets.push_back(make_target(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, i, "simt", simt_isas[i]));
    }
    if (all || backend == "cuda") targets.push_back(make_target(NF4J_BACKEND_CUDA, NF4J_ISA_AUTO, 0, "cuda", nullptr));
    return targets;
}

Session::Session(const Target &target, int32_t threads_) : threads(threads_) {
    const nf4j_device_options options = options_of(target, threads);
    must(nf4j_device_open(&options, &device), "device_open");
    for (nf4j_stream *&stream : streams) must(nf4j_stream_create(device, nullptr, &stream), "stream_create");
    has_graphs = nf4j_graph_begin(streams[0]) == NF4J_OK;
    nf4j_graph *nothing = nullptr;
    if (has_graphs) must(nf4j_graph_end(streams[0], &nothing), "graph_end");
    must(nf4j_graph_destroy(nothing), "graph_destroy");
}

Session::~Session() {
    for (nf4j_stream *stream : streams) must(nf4j_stream_destroy(stream), "stream_destroy");
    must(nf4j_device_close(device), "device_close");
}

Outcome run(const Problem &problem, const Invoke &invoke, const Session &session, int stream) {
    Outcome outcome;
    std::vector<std::unique_ptr<DeviceMatrix>> matrices;
    std::vector<std::unique_ptr<DeviceWeight>> weights;
    Call call = {session.device, session.streams[stream], {}, {}, {}};
    for (size_t i = 0; i < problem.matrices.size(); i++) {
        matrices.push_back(std::make_unique<DeviceMatrix>(problem, i, call.device, call.stream));
        call.tensors.push_back(matrices.back()->tensor);
        call.tokens.push_back(problem.matrices[i].tokens);
    }
    for (const Nf4 &w : problem.weights) {
        weights.push_back(std::make_unique<DeviceWeight>(w, call.device, call.stream));
        call.weights.push_back(weights.back()->weight);
    }
    outcome.status = invoke(call);
    if (outcome.status == NF4J_OK) outcome.status = nf4j_stream_synchronize(call.stream);
    if (outcome.status != NF4J_OK) outcome.problem = nf4j_last_error();
    outcome.outputs.resize(matrices.size());
    for (size_t i = 0; i < matrices.size() && outcome.problem.empty(); i++) {
        if (matrices[i]->read(call.stream, &outcome.outputs[i])) continue;
        const Matrix &m = problem.matrices[i];
        outcome.problem =
            m.is_output ? "something was written outside " + m.name : "the input " + m.name + " was changed";
    }
    for (const auto &w : weights) {
        if (!w->unchanged(call.stream)) outcome.problem = "the weight was changed";
    }
    return outcome;
}

}  // namespace conformance
