// What gpu_bench measured, and how it writes it: one JSON file and one Markdown table.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

struct Samples {
    std::string name;
    std::vector<double> us = {};  // microseconds of one call, sample by sample
    double launches = 0;          // kernels and copies of one call

    double quantile(double q) const {
        if (us.empty()) return NAN;
        std::vector<double> sorted = us;
        std::sort(sorted.begin(), sorted.end());
        const double at = q * static_cast<double>(sorted.size() - 1);
        const auto below = static_cast<size_t>(at);
        const size_t above = std::min(below + 1, sorted.size() - 1);
        return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
    }
    double median() const { return quantile(0.5); }
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
    std::string operation;
    int64_t m, n, k;
    double flops, bytes;  // of one call, each byte once
    std::vector<Samples> contenders = {};
    std::vector<Goal> goals = {};
    double error = -1, bound = 0;  // of sampled elements, where they are compared; beyond the bound the row is void
    int mhz = 0;
    int slots = 0;
    double floor_us = NAN;

    bool is_void() const { return error > bound; }
};

struct Report {
    std::string device, driver, commit, library, rival;
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

inline std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c < ' ' ? ' ' : c;
    }
    return out + "\"";
}

inline void write_json(const Report &report, FILE *file) {
    std::fprintf(
        file,
        "{\"schema\": \"nf4j-gpu/1\", \"device\": %s, \"driver\": %s, \"commit\": %s, \"library\": %s, \"rival\": %s, "
        "\"smoke\": %s, \"copy_gbs\": %s, \"gemm_tflops\": %s,\n \"rows\": [",
        quoted(report.device).c_str(), quoted(report.driver).c_str(), quoted(report.commit).c_str(),
        quoted(report.library).c_str(), quoted(report.rival).c_str(), report.smoke ? "true" : "false",
        number(report.copy_gbs).c_str(), number(report.gemm_tflops).c_str());
    const char *comma = "\n";
    for (const Row &row : report.rows) {
        std::fprintf(
            file,
            "%s  {\"op\": %s, \"m\": %lld, \"n\": %lld, \"k\": %lld, \"flops\": %s, \"bytes\": %s, \"floor_us\": %s, "
            "\"slots\": %d, \"sm_mhz\": %d, \"error\": %s, \"bound\": %s, \"void\": %s,\n   \"contenders\": [",
            comma, quoted(row.operation).c_str(), static_cast<long long>(row.m), static_cast<long long>(row.n),
            static_cast<long long>(row.k), number(row.flops).c_str(), number(row.bytes).c_str(),
            number(row.floor_us).c_str(), row.slots, row.mhz, row.error < 0 ? "null" : number(row.error).c_str(),
            row.error < 0 ? "null" : number(row.bound).c_str(), row.is_void() ? "true" : "false");
        comma = ",\n";
        const char *inner = "";
        for (const Samples &c : row.contenders) {
            std::fprintf(file, "%s{\"name\": %s, \"median_us\": %s, \"launches\": %s, \"samples_us\": [", inner,
                         quoted(c.name).c_str(), number(c.median()).c_str(), number(c.launches).c_str());
            inner = ", ";
            for (size_t i = 0; i < c.us.size(); i++) std::fprintf(file, "%s%s", i ? ", " : "", number(c.us[i]).c_str());
            std::fprintf(file, "]}");
        }
        std::fprintf(file, "],\n   \"goals\": [");
        inner = "";
        for (const Goal &g : row.goals) {
            std::fprintf(file, "%s{\"goal\": %s, \"value\": %s, \"limit\": %s, \"met\": %s}", inner,
                         quoted(g.text).c_str(), number(g.value).c_str(), number(g.limit).c_str(),
                         g.met() ? "true" : "false");
            inner = ", ";
        }
        std::fprintf(file, "]}");
    }
    std::fprintf(file, "\n ],\n \"failures\": [");
    for (size_t i = 0; i < report.failures.size(); i++)
        std::fprintf(file, "%s%s", i ? ", " : "", quoted(report.failures[i]).c_str());
    std::fprintf(file, "]}\n");
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
            rivals += text;
        }
        for (const Goal &g : row.goals) {
            char text[256];
            std::snprintf(text, sizeof text, "%s%s: %.3f, %s", goals.empty() ? "" : "; ", g.text.c_str(), g.value,
                          g.met() ? "met" : "missed");
            goals += text;
        }
        std::fprintf(file, "| %s%s | %lld, %lld, %lld | %.2f | %.2f ... %.2f | %s | %.2f | %.0f %% | %s | %s | %d |\n",
                     row.operation.c_str(), row.is_void() ? " VOID: wrong result" : "", static_cast<long long>(row.m),
                     static_cast<long long>(row.n), static_cast<long long>(row.k), ours.median(), ours.quantile(0.25),
                     ours.quantile(0.75), number(ours.launches).c_str(), row.floor_us,
                     100 * row.floor_us / ours.median(), rivals.c_str(), goals.c_str(), row.mhz);
    }
    for (const std::string &failure : report.failures) std::fprintf(file, "\nFAILED %s\n", failure.c_str());
}
