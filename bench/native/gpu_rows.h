// What gpu_bench measured, and its Markdown table.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
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

// A goal compares a number with a limit.
struct Goal {
    std::string text;
    double value;
    double limit;
    bool at_least;
    bool met() const { return at_least ? value >= limit : value <= limit; }
};

struct Row {
    std::string operation, shape;  // as nf4j-bench lists them
    int64_t m, n, k;               // 0 where there is none
    double flops, read, written;   // of one call, each byte once
    std::vector<Samples> contenders = {};
    const char *dtype = "bf16";
    std::vector<Goal> goals = {};
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
    bool smoke = false;
    std::vector<Row> rows = {};
    std::vector<std::string> failures = {};

    bool is_good() const {
        return failures.empty() && std::none_of(rows.begin(), rows.end(), [](const Row &row) { return row.is_void(); });
    }
};

inline std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return std::isfinite(value) ? text : "null";
}

inline void write_markdown(const Report &report, FILE *file) {
    if (report.smoke) {
        std::fprintf(file, "A run that shows that the program works: nothing in it is a measurement.\n\n");
    }
    std::fprintf(file, "%s; driver %s; nf4j %s. Copy %s GB/s", report.device.c_str(), report.driver.c_str(),
                 report.commit.c_str(), number(report.copy_gbs).c_str());
    if (report.rival.empty())
        std::fprintf(file, "; no cuBLAS was found, so nothing is compared with it.\n\n");
    else
        std::fprintf(file, "; %s: %s TFLOP/s in BF16 at 8192 x 8192 x 8192.\n\n", report.rival.c_str(),
                     number(report.gemm_tflops).c_str());
    std::fprintf(
        file,
        "BF16; medians with quartiles, microseconds of one call; contenders take turns, each call on other memory "
        "(more than twice the L2 cache in all).\n\n"
        "| operation | m, n, k | ours | quartiles | launches | floor | of floor | rivals | goal | SM MHz |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n");
    for (const Row &row : report.rows) {
        const Samples &ours = row.contenders.front();
        std::string rivals, goals;
        for (size_t i = 1; i < row.contenders.size(); i++) {
            const Samples &c = row.contenders[i];
            char text[160];
            std::snprintf(text, sizeof text, "%s%s %.2f (ours takes %.3f of it)", i > 1 ? "; " : "", c.name.c_str(),
                          c.median(), ours.median() / c.median());
            if (c.note.empty()) rivals += text;
        }
        for (const Goal &g : row.goals) {
            char text[256];
            std::snprintf(text, sizeof text, "%s%s: %.3f, %s", goals.empty() ? "" : "; ", g.text.c_str(), g.value,
                          g.met() ? "met" : "missed");
            goals += text;
        }
        std::fprintf(file, "| %s%s | %lld, %lld, %lld | %.2f | %.2f ... %.2f | %s | %.2f | %.0f %% | %s | %s | %d |\n",
                     row.operation.c_str(), row.is_void() ? " VOID: wrong result" : "", static_cast<long long>(row.m),
                     static_cast<long long>(row.n), static_cast<long long>(row.k), ours.median(),
                     quantile(ours.us, 0.25), quantile(ours.us, 0.75), number(ours.launches).c_str(), row.floor_us(),
                     100 * row.floor_us() / ours.median(), rivals.c_str(), goals.c_str(), row.mhz);
    }
    for (const std::string &failure : report.failures) std::fprintf(file, "\nFAILED %s\n", failure.c_str());
}
