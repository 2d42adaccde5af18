package dsar

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// maxManifest bounds a manifest: a line for each table is all that makes one long.
const maxManifest = 64 << 20

// VerifyPackage makes sure that a package holds exactly the files that its
// manifest lists, as they were. Whoever could write the package could write the
// manifest too: its Digest is what to compare with what was said of it elsewhere.
func VerifyPackage(r io.ReaderAt, size int64) (Manifest, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Manifest{}, fmt.Errorf("read the package: %w", err)
	}
	entries := map[string]*zip.File{}
	for _, f := range z.File {
		if entries[f.Name] != nil {
			return Manifest{}, fmt.Errorf("%q is there twice", f.Name)
		}
		entries[f.Name] = f
	}
	m, err := readManifest(entries[manifestName])
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", manifestName, err)
	}
	delete(entries, manifestName)
	for _, f := range m.Files {
		if err := f.verify(entries[f.Name]); err != nil {
			return Manifest{}, fmt.Errorf("%q %w", f.Name, err)
		}
		delete(entries, f.Name)
	}
	for name := range entries {
		return Manifest{}, fmt.Errorf("%q is not in the manifest", name)
	}
	return m, nil
}

func readManifest(entry *zip.File) (m Manifest, err error) {
	if entry == nil {
		return m, fmt.Errorf("there is none")
	}
	in, err := entry.Open()
	if err != nil {
		return m, err
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Format != PackageFormat {
		return m, fmt.Errorf("it is of the form %q, and this release reads %q", m.Format, PackageFormat)
	}
	sum := sha256.Sum256(text)
	m.Digest = hex.EncodeToString(sum[:])
	return m, in.Close()
}

// verify compares a file with what the manifest says of it.
func (f File) verify(entry *zip.File) error {
	if entry == nil {
		return fmt.Errorf("is missing, or listed twice")
	}
	in, err := entry.Open()
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	sum := sha256.New()
	// One byte more than there should be is enough to know.
	n, err := io.Copy(sum, io.LimitReader(in, f.Size+1))
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("is not as it was: its size or SHA-256 is another")
	}
	return in.Close()
}
