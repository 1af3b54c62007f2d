package io.github.nf4j.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// The files of a model's or an adapter's folder, and where symbolic links among them may lead.
///
/// A folder may come from a stranger, and a link in it may name any file of this machine: one that is then read, or copied into a
/// merged model that somebody publishes. But a snapshot in a Hugging Face cache is nothing but links. So links are followed, and
/// what they lead to in the end must lie in the folder itself or among the blobs of such a cache, `models--<name>/blobs`. The path of
/// the folder is the user's own word, and may lead through any links.
final class FolderFiles {
    private FolderFiles() {
    }

    /// The path of a file in a folder. There may be none.
    ///
    /// @param name one name, without folders
    /// @throws FileFormatException if it is a link that leads out of the folder, or to nothing
    static Path resolve(Path folder, String name) throws IOException {
        Path file = folder.resolve(name);
        if (!Files.exists(file)) {
            if (Files.isSymbolicLink(file)) {
                throw new FileFormatException(file, "symbolic link", "leads to " + Files.readSymbolicLink(file)
                        + ", which is not there");
            }
            return file;
        }
        Path real = file.toRealPath();
        if (!real.startsWith(folder.toRealPath()) && !isBlob(real)) {
            throw new FileFormatException(file, "symbolic link", "leads out of the folder, to " + real
                    + "; copy that file into the folder if it belongs there");
        }
        return file;
    }

    private static boolean isBlob(Path real) {
        Path blobs = real.getParent();
        return blobs != null && blobs.endsWith("blobs") && blobs.getNameCount() > 1
                && blobs.getParent().getFileName().toString().startsWith("models--");
    }
}
