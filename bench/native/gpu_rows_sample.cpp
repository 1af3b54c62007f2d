// A result file as gpu_bench writes it, of made-up figures: the harness's tests read it, on machines that have no GPU.
#include "gpu_json.h"

#include <utility>

namespace {

// Around a median, so that two runs of it are the same.
Samples around(const char *name, double median) {
    Samples samples = {name};
    for (int i = 0; i < 31; i++) samples.us.push_back(median * (1 + 0.0005 * ((i * 7) % 31 - 15)));
    samples.launches = 1;
    return samples;
}

Row made(const char *operation, int64_t m, int64_t n, double read, double written, std::vector<Samples> contenders) {
    Row row = {operation, "llama3-8b.gate", m, n, 4096, 1e6, read, written};
    row.contenders = std::move(contenders);
    row.memory_us = 40;
    row.compute_us = m > 100 ? 45 : NAN;
    row.error = 0.25;
    row.bound = 1;
    row.slots = 3;
    row.mhz = 1980;
    return row;
}

}  // namespace

int main() {
    Report report;
    report.device = "A \"GPU\", compute capability 9.0";
    report.driver = "580.65 (CUDA 13.0)";
    report.commit = "0123456789abcdef with changes that are not committed";
    report.library = "0.1.0";
    report.rival = "cuBLAS 13.0.2";
    report.backend = "cuda";
    report.isa = "sm_90";
    report.library_sha256 = std::string(64, 'a');
    report.started = "2026-01-01T00:00:00Z";
    report.seconds = 12.5;
    report.arguments = {"--backend", "cuda"};
    report.multiprocessors = 132;
    report.l2_bytes = 50 << 20;
    report.memory_bytes = int64_t{80} << 30;
    report.copy_gbs = 2500;
    report.gemm_tflops = 700;
    report.rows = {
        made("nf4.matmul", 1, 14336, 3e7, 3e4, {around("nf4j", 50), {"cublas", "no cuBLAS was found"}}),
        made("nf4.matmul", 512, 14336, 3e7, 1e7,
             {around("nf4j", 50), around("cublas", 40), around("dequantize + cublas", 100)}),
        made("nf4.matmul_backward", 512, 14336, 3e7, 1e7,
             {around("nf4j", 50), around("cublas", 49), around("dequantize + cublas", 85)}),
        made("lora.forward.nf4", 512, 14336, 3e7, 1e7, {around("nf4j", 50), around("nf4.matmul", 50)}),
        made("norm.forward", 512, 14336, 1e7, 1e7, {around("nf4j", 50)}),
    };
    report.rows[4].error = INFINITY;  // wrong
    Row update = {"optim.adamw", "adapters", 0, 1000, 0, 0, 2e4, 1e4};
    update.dtype = "f32";
    update.slots = 1;
    update.memory_us = 1;
    update.contenders = {around("nf4j", 2)};
    report.rows.push_back(update);
    report.finished = true;
    report.failures = {"layers: \\ out of memory"};
    write_json(report, stdout);
    return 0;
}
