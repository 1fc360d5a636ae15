import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;

/** Reads every file of a folder as gzip, and writes what was in it beside it. */
class Read {
    public static void main(String[] arguments) throws Exception {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of(arguments[0]), "*.gz")) {
            for (Path path : files) {
                String name = path.getFileName().toString().replace(".gz", ".out");
                try (InputStream input = new GZIPInputStream(Files.newInputStream(path))) {
                    Files.write(path.resolveSibling(name), input.readAllBytes());
                }
            }
        }
    }
}
