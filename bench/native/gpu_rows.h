// What gpu_bench measured.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

inline double quantile(std::vector<double> values, double q) {
    if (values.empty()) return NAN;
    std::sort(values.begin(), values.end());
    const double at = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(at);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

struct Samples {
    std::string name;
    std::string note = {};        // why there are none, else empty
    std::vector<double> us = {};  // microseconds of one call, sample by sample
    double launches = 0;          // kernels and copies of one call

    double median() const { return quantile(us, 0.5); }
};

struct Row {
    std::string operation, shape;  // as nf4j-bench lists them
    int64_t m, n, k;               // 0 where there is none
    double flops, read, written;   // of one call, each byte once
    std::vector<Samples> contenders = {};
    const char *dtype = "bf16";
    double error = -1, bound = 0;  // of sampled elements, where they are compared; beyond the bound the row is void
    int mhz = 0;
    int slots = 0, warm_ups = 0, calls_per_sample = 1;
    double memory_us = NAN, compute_us = NAN;  // the least time that the measured limits allow each

    double bytes() const { return read + written; }
    double floor_us() const { return std::fmax(memory_us, compute_us); }
    bool is_void() const { return error > bound; }
};

struct Report {
    std::string device, driver, commit, library, rival;
    std::string backend, isa;    // cuda, sm_90
    std::string library_sha256;  // of the file that has the kernels
    std::string started;         // UTC, as 2026-01-01T00:00:00Z
    double seconds = 0;
    std::vector<std::string> arguments = {};
    int multiprocessors = 1;
    int64_t l2_bytes = 0, memory_bytes = 0;
    double copy_gbs = NAN, gemm_tflops = NAN;
    bool smoke = false, finished = false;
    std::vector<Row> rows = {};
    std::vector<std::string> failures = {};

    bool is_good() const {
        return failures.empty() && std::none_of(rows.begin(), rows.end(), [](const Row &row) { return row.is_void(); });
    }
};
