package io.github.nf4j;

/// Host or device memory, or the workspace of the stream, is not enough; the message says which and how many bytes.
public final class OutOfDeviceMemoryException extends Nf4jException {
    private static final long serialVersionUID = 1L;

    public OutOfDeviceMemoryException(String message) {
        super(message);
    }
}
