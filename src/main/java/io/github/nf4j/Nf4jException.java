package io.github.nf4j;

/// A failure of the native library that is neither a wrong argument ([IllegalArgumentException]), nor a wrong state
/// ([IllegalStateException]), nor something that the backend does not do ([UnsupportedOperationException]).
public class Nf4jException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public Nf4jException(String message) {
        super(message);
    }

    public Nf4jException(String message, Throwable cause) {
        super(message, cause);
    }
}
