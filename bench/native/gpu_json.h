// Writes what gpu_bench measured as a result file of nf4j-bench, bench/schema/nf4j-bench-1.0.json: a machine is a GPU here,
// a core a multiprocessor. What other programs do on the GPU is not watched.
#pragma once

#include "gpu_rows.h"

#include <sys/utsname.h>

#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

inline std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return std::isfinite(value) ? text : "null";
}

inline std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    return out + "\"";
}

inline std::string quoted_or_null(const std::string &text) { return text.empty() ? "null" : quoted(text); }

// Values that are written already, separated by commas.
inline std::string listed(const std::vector<std::string> &values) {
    std::string out = "[";
    for (const std::string &value : values) out += (out.size() > 1 ? ", " : "") + value;
    return out + "]";
}

inline std::string listed(const std::vector<double> &values) {
    std::vector<std::string> texts;
    for (double value : values) texts.push_back(number(value));
    return listed(texts);
}

inline std::string stats_json(const std::vector<double> &us) {
    const double median = quantile(us, 0.5), count = static_cast<double>(us.size());
    double sum = 0, squares = 0;
    std::vector<double> deviations;
    for (double x : us) sum += x, deviations.push_back(std::fabs(x - median));
    for (double x : us) squares += (x - sum / count) * (x - sum / count);
    return "{\"min\": " + number(quantile(us, 0)) + ", \"q1\": " + number(quantile(us, 0.25)) +
           ", \"median\": " + number(median) + ", \"q3\": " + number(quantile(us, 0.75)) +
           ", \"mad\": " + number(quantile(deviations, 0.5)) + ", \"mean\": " + number(sum / count) +
           ", \"sd\": " + number(count > 1 ? std::sqrt(squares / (count - 1)) : 0) + "}";
}

// Of another, measured in turns with ours; or why it was not.
inline std::string peer_json(const Report &report, const Samples &ours, const Samples &peer) {
    const bool cublas = peer.name.find("cublas") != std::string::npos;
    const std::string head = "{\"name\": " + quoted(peer.name) +
                             ", \"version\": " + quoted_or_null(cublas ? report.rival : "") +
                             ", \"note\": " + quoted_or_null(peer.note);
    if (peer.us.empty()) return head + ", \"samples_us\": null, \"stats\": null, \"ratio\": null}";
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(ours.us.size(), peer.us.size()); i++) ratios.push_back(ours.us[i] / peer.us[i]);
    return head + ", \"samples_us\": " + listed(peer.us) + ", \"stats\": " + stats_json(peer.us) +
           ", \"ratio\": " + number(quantile(ratios, 0.5)) + ", \"launches\": " + number(peer.launches) + "}";
}

// The key's parts and, of them, the id.
inline std::string key_json(const Report &report, const Row &row) {
    std::string sizes, dims;
    for (const auto &size : {std::make_pair("k", row.k), std::make_pair("m", row.m), std::make_pair("n", row.n)}) {
        if (size.second == 0) continue;
        const std::string value = std::to_string(size.second);
        sizes += (sizes.empty() ? "" : ",") + std::string(size.first) + "=" + value;
        dims += (dims.empty() ? "" : ", ") + quoted(size.first) + ": " + value;
    }
    const std::string id =
        row.operation + "/" + row.shape + "/" + sizes + "/" + row.dtype + "/" + report.backend + "/t0/kernel/cold";
    return "\"id\": " + quoted(id) + ", \"key\": {\"op\": " + quoted(row.operation) +
           ", \"shape\": " + quoted(row.shape) + ", \"dims\": {" + dims + "}, \"dtype\": " + quoted(row.dtype) +
           ", \"backend\": " + quoted(report.backend) +
           ", \"isa\": null, \"threads\": 0, \"scope\": \"kernel\", \"cache\": \"cold\"}";
}

// A row with wrong results has no figures.
inline std::string figures_json(const Report &report, const Row &row) {
    if (row.is_void()) return "\"timing\": null, \"stats\": null, \"rate\": null, \"peers\": []";
    const Samples &ours = row.contenders.front();
    const double median = ours.median();
    std::vector<std::string> peers;
    for (size_t i = 1; i < row.contenders.size(); i++) peers.push_back(peer_json(report, ours, row.contenders[i]));
    return std::string("\"timing\": {\"clock\": ") + (report.backend == "cuda" ? "\"cuda_event\"" : "\"nanotime\"") +
           ", \"warmup_calls\": " + std::to_string(row.warm_ups) +
           ", \"calls_per_sample\": " + std::to_string(row.calls_per_sample) +
           ", \"slots\": " + std::to_string(row.slots) + ", \"samples_us\": " + listed(ours.us) +
           ", \"disturbed_us\": [], \"foreign_share\": 0, \"mhz\": " +
           (row.mhz ? "[" + std::to_string(row.mhz) + "]" : "null") + "},\n   \"stats\": " + stats_json(ours.us) +
           ", \"rate\": {\"gflops\": " + number(row.flops / median / 1e3) +
           ", \"gbs\": " + number(row.bytes() / median / 1e3) + ", \"floor_us\": " + number(row.floor_us()) +
           ", \"of_floor\": " + number(row.floor_us() / median) +
           ", \"bound\": " + (row.compute_us > row.memory_us ? "\"compute\"" : "\"memory\"") +
           "},\n   \"peers\": " + listed(peers) + ", \"launches\": " + number(ours.launches);
}

inline std::string case_json(const Report &report, const Row &row) {
    const std::string verify =
        row.error < 0
            ? "null"
            : "{\"metric\": \"largest error of some elements, in units of what rounding explains\", \"value\": " +
                  number(row.error) + ", \"bound\": " + number(row.bound) +
                  ", \"rows\": 4, \"ok\": " + (row.is_void() ? "false" : "true") + "}";
    return "{" + key_json(report, row) + ",\n   \"repro\": " + quoted("gpu_bench --backend " + report.backend) +
           ", \"status\": " +
           (row.is_void() ? "\"VOID\", \"note\": \"the results are wrong\"" : "\"OK\", \"note\": null") +
           ", \"work\": {\"flops\": " + number(row.flops) + ", \"bytes_read\": " + number(row.read) +
           ", \"bytes_written\": " + number(row.written) + "}, \"verify\": " + verify + ",\n   " +
           figures_json(report, row) + "}";
}

// What changes speed and stays the same from run to run, as a name for a folder.
inline std::string fingerprint(const Report &report) {
    std::string out;
    for (char c : report.device + "-driver-" + report.driver.substr(0, report.driver.find('.'))) {
        const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
        if (letter || (!out.empty() && out.back() != '-'))
            out += letter ? static_cast<char>(std::tolower(static_cast<unsigned char>(c))) : '-';
    }
    return out;
}

inline std::string machine_json(const Report &report) {
    std::ifstream file("/proc/cpuinfo");
    const std::string cpuinfo((std::istreambuf_iterator<char>(file)), {});
    utsname system = {};
    uname(&system);
    const auto mebibytes = [](int64_t bytes) { return std::to_string(std::max(bytes >> 20, int64_t{1})); };
    return "{\"fingerprint\": " + quoted(fingerprint(report)) + ", \"cpu\": " + quoted(report.device) +
           ", \"cores\": " + std::to_string(report.multiprocessors) + ", \"isa\": " + quoted(report.isa) +
           ", \"llc_mb\": " + mebibytes(report.l2_bytes) + ", \"ram_mb\": " + mebibytes(report.memory_bytes) +
           ", \"governor\": null, \"virtual\": " +
           (cpuinfo.find(" hypervisor") == std::string::npos ? "false" : "true") +
           ", \"os\": " + quoted(std::string(system.sysname) + " " + system.machine) +
           ", \"kernel\": " + quoted(system.release) + ", \"driver\": " + quoted(report.driver) +
           ", \"jvm\": {\"vendor\": \"none\", \"version\": \"none\", \"flags\": \"\"}}";
}

inline void write_json(const Report &report, FILE *file) {
    std::string id, sha = report.commit.substr(0, report.commit.find(' '));
    for (char c : report.started)
        if (c != '-' && c != ':') id += c;
    if (sha == "unknown") sha.clear();
    std::vector<std::string> arguments, failures;
    for (const std::string &argument : report.arguments) arguments.push_back(quoted(argument));
    for (const std::string &failure : report.failures) failures.push_back(quoted(failure));
    std::string floors = "null";
    if (std::isfinite(report.copy_gbs))
        floors = "{\"copy_gbs\": " + number(report.copy_gbs) + ", \"read_gbs\": " + number(report.copy_gbs) +
                 ", \"fma_gflops\": null, \"bf16_gflops\": " + number(1e3 * report.gemm_tflops) + ", \"threads\": 1}";
    std::fprintf(file,
                 "{\"schema\": \"nf4j-bench/1.0\",\n \"run\": {\"id\": %s, \"started_utc\": %s, \"duration_s\": %s, "
                 "\"finished\": %s, \"argv\": %s, \"seed\": 1, \"suite\": %s, \"order\": \"contenders in turns\", "
                 "\"failures\": %s},\n \"code\": {\"git_sha\": %s, \"dirty\": %s, \"branch\": null, \"version\": %s, "
                 "\"library\": %s},\n \"machine\": %s,\n \"floors\": %s,\n \"cases\": [",
                 quoted(id + "-gpu").c_str(), quoted(report.started).c_str(), number(report.seconds).c_str(),
                 report.finished && report.failures.empty() ? "true" : "false", listed(arguments).c_str(),
                 report.smoke ? "\"gpu-smoke\"" : "\"gpu\"", listed(failures).c_str(), quoted_or_null(sha).c_str(),
                 sha.size() < report.commit.size() && !sha.empty() ? "true" : "false", quoted(report.library).c_str(),
                 quoted(report.library_sha256).c_str(), machine_json(report).c_str(), floors.c_str());
    const char *comma = "\n  ";
    for (const Row &row : report.rows) {
        std::fprintf(file, "%s%s", comma, case_json(report, row).c_str());
        comma = ",\n  ";
    }
    std::fprintf(file, "\n ]}\n");
}
