// Reads every file of a folder as gzip, one member only, and writes what was in it beside it.
package main

import (
	"bufio"
	"compress/gzip"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	paths, err := filepath.Glob(filepath.Join(os.Args[1], "*.gz"))
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			log.Fatal(err)
		}
		input := bufio.NewReader(file)
		reader, err := gzip.NewReader(input)
		if err != nil {
			log.Fatal(path, err)
		}
		reader.Multistream(false)
		plain, err := io.ReadAll(reader)
		if err != nil {
			log.Fatal(path, err)
		}
		if _, err := input.ReadByte(); err != io.EOF {
			log.Fatal(path, ": something stands behind the member")
		}
		if err := os.WriteFile(strings.TrimSuffix(path, ".gz")+".out", plain, 0o644); err != nil {
			log.Fatal(err)
		}
		file.Close()
	}
}
