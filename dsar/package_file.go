package dsar

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// fileBuffer is how much of a file is collected before it is hashed and
// compressed.
const fileBuffer = 64 << 10

// file writes one file into the zip, and notes it in the manifest.
func (p *packer) file(f File, write func(w io.Writer, f *File) error) error {
	in, err := p.zip.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: p.subject.now.UTC()})
	if err != nil {
		return err
	}
	m := &measured{w: in, sum: sha256.New(), wrote: func(n int64) { p.tell(f.Name, n) }}
	b := bufio.NewWriterSize(m, fileBuffer)
	if err := write(b, &f); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	f.Size, f.SHA256 = m.size, hex.EncodeToString(m.sum.Sum(nil))
	p.bytes += m.size
	p.manifest.Files = append(p.manifest.Files, f)
	return nil
}

// tell tells of progress.
func (p *packer) tell(name string, n int64) {
	if p.options.Progress == nil {
		return
	}
	of := len(p.shown) + 3
	if !p.options.Portable {
		of += 2
	}
	p.options.Progress(Progress{File: name, At: len(p.manifest.Files) + 1, Of: of, Bytes: p.bytes + n})
}

// measured hashes and counts what is written.
type measured struct {
	w     io.Writer
	sum   hash.Hash
	size  int64
	wrote func(size int64)
}

func (m *measured) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.sum.Write(b[:n])
	m.size += int64(n)
	m.wrote(m.size)
	return n, err
}

// tableFile names the file of a table so that it can be unpacked anywhere:
// names of tables may hold slashes and dots, differ in capitals alone, and be
// those of devices.
func (p *packer) tableFile(r *catalog.Relation) string {
	name := fileWord(r.Schema) + "." + fileWord(r.Name)
	if len(name) > maxFileName {
		sum := sha256.Sum256([]byte(name))
		name = name[:maxFileName] + "~~" + hex.EncodeToString(sum[:8])
	}
	small := strings.ToLower(name)
	p.names[small]++
	if n := p.names[small]; n > 1 {
		name += fmt.Sprintf("~~%d", n)
	}
	return "csv/" + name + ".csv"
}

// maxFileName leaves room for endings: file systems take 255 bytes.
const maxFileName = 200

// devices are names that Windows takes for devices, whatever follows a dot.
var devices = strings.Fields("con prn aux nul com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9")

// fileWord spells all but letters, digits, _ and - by ~ and their code.
func fileWord(name string) string {
	var b strings.Builder
	device := slices.Contains(devices, strings.ToLower(name))
	for i, c := range []byte(name) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' && i > 0
		if plain && !device {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "~%02X", c)
		}
	}
	return b.String()
}
