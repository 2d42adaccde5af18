package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// outFile is a file that is there when it is whole, and not before. It never
// takes the place of another.
type outFile struct {
	*os.File
	path   string
	beside string // its name meanwhile; "" for none, where the system can do without
}

// newOutFile begins a file that only its owner may read. A process that is
// killed leaves nothing, except where the file system knows no files without a
// name.
func newOutFile(path string) (*outFile, error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s is there already, and is not written over", path)
		}
		return nil, err
	}
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &outFile{File: os.NewFile(uintptr(fd), path), path: path}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "write into", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.part") // mode 0600
	if err != nil {
		return nil, err
	}
	return &outFile{File: f, path: path, beside: f.Name()}, nil
}

// publish makes the file durable, and gives it its name.
func (f *outFile) publish() error {
	if err := f.Sync(); err != nil {
		return err
	}
	from := f.beside
	if from == "" {
		from = "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	}
	err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, f.path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s is there by now, and is not written over", f.path)
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: from, New: f.path, Err: err}
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// drop lets go of the file, and of the name that it had meanwhile. What was
// published stays.
func (f *outFile) drop() error {
	err := f.Close()
	if f.beside != "" {
		err = errors.Join(err, os.Remove(f.beside))
	}
	return err
}
