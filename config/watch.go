package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Watch looks at files and folders every so often and calls changed when the
// content of any of them is another than it was. It returns when the context
// ends. Content counts, not time stamps: an editor may write a file twice.
func Watch(ctx context.Context, every time.Duration, changed func(), paths ...string) {
	last := digest(paths)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := digest(paths); now != last {
			last = now
			changed()
		}
	}
}

// digest sums up the content of the paths. What cannot be read counts as its
// error: the reload that follows says what is wrong.
func digest(paths []string) [sha256.Size]byte {
	h := sha256.New()
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(h, "%s %d %v\n", path, len(text), err)
			h.Write(text)
			return nil
		})
		fmt.Fprintf(h, "%v\n", err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
