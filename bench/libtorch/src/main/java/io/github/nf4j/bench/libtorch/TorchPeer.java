package io.github.nf4j.bench.libtorch;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/// libtorch as a peer, driven by DJL: speaks the language of bench/native/peer.cpp, which explains it.
public final class TorchPeer {
    private static final double SHORTEST_SAMPLE_NANOS = 1e5;
    private static final int MOST_CALLS = 4096;
    private static final int CHECKED = 16;

    /// One product with its buffers, in as many copies as there are slots.
    private static final class Product implements AutoCloseable {
        private final NDManager manager;
        private final long m;
        private final long n;
        private final long k;
        private final List<NDArray> left = new ArrayList<>();
        private final List<NDArray> right = new ArrayList<>();
        private int next;
        private int calls = 1;
        private double sampleNanos = Double.MAX_VALUE;

        Product(NDManager parent, long m, long n, long k, boolean transposed, int slots) {
            this.manager = parent.newSubManager();
            this.m = m;
            this.n = n;
            this.k = k;
            for (int i = 0; i < slots; i++) {
                left.add(random(1, m, k));
                NDArray b = transposed ? random(2, n, k) : random(2, k, n);
                right.add(transposed ? b.transpose() : b);
            }
        }

        private NDArray random(long seed, long rows, long cols) {
            Random random = new Random(seed);
            float[] values = new float[Math.toIntExact(rows * cols)];
            for (int i = 0; i < values.length; i++) {
                values[i] = 2 * random.nextFloat() - 1;
            }
            return manager.create(values, new Shape(rows, cols));
        }

        /// Sums in double in a few places, as peer.cpp checks.
        boolean isRight() {
            float[] a = left.getLast().toFloatArray();
            float[] b = right.getLast().toFloatArray(); // [k, n] also where it is a view of the transpose
            float[] c;
            try (NDArray result = left.getLast().matMul(right.getLast())) {
                c = result.toFloatArray();
            }
            Random random = new Random(7);
            for (int i = 0; i < CHECKED; i++) {
                long row = random.nextLong(m);
                long col = random.nextLong(n);
                double sum = 0;
                for (long j = 0; j < k; j++) {
                    sum += (double) a[(int) (row * k + j)] * b[(int) (j * n + col)];
                }
                if (!(Math.abs(c[(int) (row * n + col)] - sum) <= 1e-4 * Math.sqrt(k))) {
                    return false;
                }
            }
            return true;
        }

        /// Settles how many calls make a sample: one must be long enough for the clock, and the first ones warm up.
        double warmUp() {
            for (int i = 0; i < 5; i++) {
                sampleNanos = Math.min(sampleNanos, sample());
            }
            calls = (int) Math.clamp(Math.ceil(SHORTEST_SAMPLE_NANOS / sampleNanos), 1, MOST_CALLS);
            return sampleNanos * calls;
        }

        /// Nanoseconds per call.
        double sample() {
            long begin = System.nanoTime();
            for (int i = 0; i < calls; i++) {
                left.get(next).matMul(right.get(next)).close();
                next = (next + 1) % left.size();
            }
            return (double) (System.nanoTime() - begin) / calls;
        }

        @Override
        public void close() {
            manager.close();
        }
    }

    private final NDManager manager;
    private Product product;

    private TorchPeer(NDManager manager) {
        this.manager = manager;
    }

    private String answer(String line) {
        String[] words = line.split(" ");
        if (words[0].equals("version")) {
            return Engine.getEngine("PyTorch").getVersion() + " through DJL";
        }
        if (words[0].equals("gemm")) {
            if (product != null) {
                product.close();
            }
            product = null;
            if (words[1].equals("bf16")) {
                return "failed DJL has no BF16 tensors: its glue to libtorch ends the process";
            }
            product = new Product(manager, Long.parseLong(words[2]), Long.parseLong(words[3]), Long.parseLong(words[4]),
                    words[5].equals("1"), Integer.parseInt(words[6]));
            return product.isRight() ? String.format(Locale.ROOT, "ready %.0f", product.warmUp()) : "failed its product is wrong";
        }
        if (product == null) {
            return "failed cannot do: " + line;
        }
        List<String> samples = new ArrayList<>();
        for (int i = Integer.parseInt(words[1]); i > 0; i--) {
            samples.add(String.format(Locale.ROOT, "%.4f", product.sample() / 1e3));
        }
        return String.join(" ", samples);
    }

    /// The threads are set by DJL's properties on the command line.
    public static void main(String[] arguments) throws IOException {
        try (NDManager manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
                BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            TorchPeer peer = new TorchPeer(manager);
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String answer;
                try {
                    answer = peer.answer(line);
                } catch (RuntimeException e) {
                    answer = "failed " + String.valueOf(e.getMessage()).replace('\n', ' ');
                }
                System.out.println(answer);
            }
        }
    }
}
