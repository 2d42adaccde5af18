package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const keygenHelp = `Usage: pgveil keygen FILE

Makes the secret that keyed masks (token, hash) are made with and writes it to
FILE, readable by its owner only. Whoever has it can find out which token a
guessed value has; whoever loses it gets other tokens. An existing file is left
as it is.

Example:
  pgveil keygen /etc/pgveil/pgveil.key
`

func runKeygen(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help" || args[0] == "-help") {
		fmt.Fprint(stdout, keygenHelp)
		return 0
	}
	if len(args) != 1 {
		fmt.Fprint(stderr, keygenHelp)
		return 2
	}
	if err := keygen(args[0]); err != nil {
		fmt.Fprintf(stderr, "pgveil keygen: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "made %s\n", args[0])
	return 0
}

func keygen(path string) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return writeNew(path, append(hex.AppendEncode(nil, key), '\n'), 0o600)
}

// writeNew writes a file that does not exist yet, to the disk.
func writeNew(path string, text []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}

// readKey reads the secret that keyed masks and mock salts are derived from.
func readKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key %s does not exist: make one with \"pgveil keygen %s\"", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("key %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("key %s is not 64 hexadecimal digits", path)
	}
	return key, nil
}

// derive makes a key for one use of the secret.
func derive(key []byte, use string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("pgveil " + use))
	return h.Sum(nil)
}
