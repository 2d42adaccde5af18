package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// File writes events to a file, a line each. A batch was taken when it is on the
// disk. A file that somebody moves away, as logrotate does, is made anew for the
// next batch, so nobody has to be told.
type File struct {
	Path     string
	MaxBytes int64 // a file that would be longer is put aside; 0: never
	Keep     int   // of files put aside; 0: all

	file *os.File
	size int64
}

func (f *File) Limit() int { return 0 }

func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return file.Close()
}

func (f *File) Send(_ context.Context, batch []Event) (left []Event, err error) {
	var text []byte
	for _, e := range batch {
		text = append(append(text, e.Body...), '\n')
	}
	if err := f.ready(int64(len(text))); err != nil {
		return batch, errors.Join(err, f.Close())
	}
	_, err = f.file.Write(text)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil { // on a full disk, too, a line is whole or not there
		return batch, errors.Join(err, f.file.Truncate(f.size), f.Close())
	}
	f.size += int64(len(text))
	return nil, nil
}

// ready opens the file where it is not open, or not there any more, and puts it
// aside where it has no room for n bytes.
func (f *File) ready(n int64) error {
	if f.file != nil {
		there, err := os.Stat(f.Path)
		ours, oerr := f.file.Stat()
		if err != nil || oerr != nil || !os.SameFile(there, ours) || ours.Size() != f.size {
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	if err := f.open(); err != nil {
		return err
	}
	if f.MaxBytes == 0 || f.size == 0 || f.size+n <= f.MaxBytes {
		return nil
	}
	if err := f.putAside(); err != nil {
		return err
	}
	return f.open()
}

func (f *File) open() (err error) {
	if f.file != nil {
		return nil
	}
	if f.file, err = os.OpenFile(f.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Path)
	}
	if err == nil {
		f.size, err = wholeLines(f.file, info.Size())
	}
	if err == nil && f.size < info.Size() {
		err = f.file.Truncate(f.size)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Path))
}

// wholeLines gives where the last whole line ends: a crash can leave a part of
// one, of a batch that is sent again.
func wholeLines(file io.ReaderAt, size int64) (int64, error) {
	window := make([]byte, 64<<10)
	for size > 0 {
		n := min(int64(len(window)), size)
		if _, err := file.ReadAt(window[:n], size-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(window[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}

// putAside renames the file, with the time, and removes those that are too many.
func (f *File) putAside() error {
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Path, f.Path+"."+time.Now().UTC().Format("20060102T150405.000000000Z")); err != nil {
		return err
	}
	old, err := filepath.Glob(globQuote(f.Path) + ".????????T??????.?????????Z")
	if err != nil || f.Keep == 0 || len(old) <= f.Keep {
		return err
	}
	slices.Sort(old)
	for _, path := range old[:len(old)-f.Keep] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// globQuote makes a path match itself alone.
func globQuote(path string) string {
	var b bytes.Buffer
	for _, c := range []byte(path) {
		if bytes.IndexByte([]byte(`*?[\`), c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
