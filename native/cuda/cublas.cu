// cuBLAS is loaded when the first device is opened. Tried are, in this order: the file or folder in NF4J_CUBLAS ("none"
// turns it off), the loader's own places, CUDA_HOME and /usr/local/cuda, and the packages that pip installs into the
// active virtual environment. Only functions that cuBLAS 12 and 13 have alike are used, declared here: building needs no
// header of it.
#include "cuda/cublas.h"

#include "cuda/gpu.h"
#include "cuda/product.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace nf4j::cuda {

namespace {

// Values of cublas_api.h and library_types.h.
constexpr int op_n = 0, op_t = 1, r_32f = 0, r_16bf = 14, compute_32f = 68, gemm_default = -1;
constexpr int disallow_reduced_precision_reduction = 16;

// 32 MiB are what cuBLAS asks for on Hopper; elsewhere it takes less.
constexpr size_t cublas_workspace_bytes = size_t{32} << 20;

struct Cublas {
    int (*create)(void **handle) = nullptr;
    int (*destroy)(void *handle) = nullptr;
    int (*set_stream)(void *handle, cudaStream_t stream) = nullptr;
    int (*set_workspace)(void *handle, void *workspace, size_t bytes) = nullptr;
    int (*set_math_mode)(void *handle, int mode) = nullptr;
    int (*get_property)(int type, int *value) = nullptr;
    int (*gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type,
                int lda, const void *b, int b_type, int ldb, const void *beta, void *c, int c_type, int ldc,
                int compute_type, int algorithm) = nullptr;
    std::string description;
    bool loaded = false;

    Cublas();

private:
    bool try_file(const std::string &path);
    bool try_folder(const std::string &folder);
    bool try_pattern(const std::string &pattern);
    bool find();
};

template <typename F>
bool resolve(void *library, const char *name, F *function) {
    *function = reinterpret_cast<F>(dlsym(library, name));
    return *function != nullptr;
}

bool Cublas::try_file(const std::string &path) {
    // Its companion has to be loaded before it where neither knows the other's folder.
    const size_t name = path.rfind("libcublas.so");
    if (name != std::string::npos) {
        std::string companion = path;
        companion.replace(name, std::strlen("libcublas.so"), "libcublasLt.so");
        dlopen(companion.c_str(), RTLD_NOW | RTLD_GLOBAL);
    }
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    loaded = resolve(library, "cublasCreate_v2", &create) && resolve(library, "cublasDestroy_v2", &destroy) &&
             resolve(library, "cublasSetStream_v2", &set_stream) &&
             resolve(library, "cublasSetWorkspace_v2", &set_workspace) &&
             resolve(library, "cublasSetMathMode", &set_math_mode) &&
             resolve(library, "cublasGetProperty", &get_property) && resolve(library, "cublasGemmEx", &gemm);
    if (!loaded) return false;
    int version[3] = {};
    for (int i = 0; i < 3; i++) get_property(i, &version[i]);
    Dl_info info;
    const bool known = dladdr(reinterpret_cast<const void *>(create), &info) != 0 && info.dli_fname;
    description = "cuBLAS " + std::to_string(version[0]) + "." + std::to_string(version[1]) + "." +
                  std::to_string(version[2]) + " (" + (known ? info.dli_fname : path.c_str()) + ")";
    return true;
}

bool Cublas::try_folder(const std::string &folder) {
    return try_file(folder + "/libcublas.so.13") || try_file(folder + "/libcublas.so.12");
}

bool Cublas::try_pattern(const std::string &pattern) {
    glob_t found = {};
    bool done = false;
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && !done; i++) done = try_folder(found.gl_pathv[i]);
    }
    globfree(&found);
    return done;
}

bool Cublas::find() {
    if (const char *chosen = std::getenv("NF4J_CUBLAS")) return try_file(chosen) || try_folder(chosen);
    if (try_file("libcublas.so.13") || try_file("libcublas.so.12")) return true;
    if (const char *home = std::getenv("CUDA_HOME")) {
        if (try_folder(std::string(home) + "/lib64") || try_folder(std::string(home) + "/lib")) return true;
    }
    if (try_folder("/usr/local/cuda/lib64")) return true;
    const char *environment = std::getenv("VIRTUAL_ENV");
    const std::string packages =
        std::string(environment ? environment : "/usr") + "/lib/python3*/site-packages/nvidia/";
    return try_pattern(packages + "cu13/lib") || try_pattern(packages + "cublas/lib");
}

Cublas::Cublas() {
    const char *chosen = std::getenv("NF4J_CUBLAS");
    if (chosen && std::strcmp(chosen, "none") == 0) {
        description = "no cuBLAS: NF4J_CUBLAS is none";
    } else if (!find()) {
        description =
            std::string("no cuBLAS: ") +
            (chosen ? std::string("NF4J_CUBLAS is ") + chosen + ", and it cannot be loaded"
                    : std::string("no libcublas.so.13 or .12 in the loader's places, CUDA_HOME, /usr/local/cuda or "
                                  "the virtual environment; NF4J_CUBLAS can name it"));
    }
}

const Cublas &library() {
    static const Cublas cublas;
    return cublas;
}

int32_t refuse(const char *what, int error) { return fail(NF4J_INTERNAL, "cuda: cuBLAS: %s: status %d", what, error); }

}  // namespace

const char *cublas_description() { return library().description.c_str(); }

int32_t cublas_open(nf4j_stream *stream) {
    if (!library().loaded) return NF4J_OK;
    auto *of = static_cast<GpuStream *>(stream->impl);
    const int32_t allocated = alloc(stream->device, cublas_workspace_bytes, &of->cublas_workspace);
    if (allocated != NF4J_OK) return allocated;
    int status = library().create(&of->cublas);
    if (status != 0) return refuse("cublasCreate", status);
    // The stream first: it resets the workspace.
    status = library().set_stream(of->cublas, of->stream);
    if (status == 0) status = library().set_workspace(of->cublas, of->cublas_workspace, cublas_workspace_bytes);
    if (status == 0) status = library().set_math_mode(of->cublas, disallow_reduced_precision_reduction);
    return status == 0 ? NF4J_OK : refuse("stream or workspace", status);
}

void cublas_close(GpuStream *stream) {
    if (stream->cublas) library().destroy(stream->cublas);
    cudaFree(stream->cublas_workspace);
}

bool has_cublas(const nf4j_stream *stream) { return static_cast<GpuStream *>(stream->impl)->cublas != nullptr; }

// cuBLAS is column-major: it computes c^T = right * left^T, whose columns are our rows.
int32_t cublas_multiply(nf4j_stream *stream, const char *name, const Product &p) {
    const Operand &left = p.main.left, &right = p.main.right;
    const int status = library().gemm(
        static_cast<GpuStream *>(stream->impl)->cublas, right.k_contiguous ? op_t : op_n,
        left.k_contiguous ? op_n : op_t, static_cast<int>(p.n), static_cast<int>(p.m), static_cast<int>(p.main.k),
        &p.alpha, right.data, r_16bf, static_cast<int>(right.ld), left.data, r_16bf, static_cast<int>(left.ld), &p.beta,
        p.c, p.c_is_bf16 ? r_16bf : r_32f, static_cast<int>(p.ldc), compute_32f, gemm_default);
    return status == 0 ? NF4J_OK : refuse(name, status);
}

}  // namespace nf4j::cuda
