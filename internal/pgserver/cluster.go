package pgserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// initdbArgs make a cluster that behaves alike on every machine: C sorts by
// bytes whatever locales are installed. They are part of the cache key.
var initdbArgs = []string{"--username=" + Superuser, "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"}

// createCluster makes a new cluster at data unless one is there: by fill. It is made
// beside its place and renamed into it, so a folder that is there is whole.
func createCluster(ctx context.Context, acc account, bin, data string, fill func(ctx context.Context, acc account, bin, dir string) error) error {
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	// An empty folder may be in the way; one that holds anything stays.
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("creating a cluster: %w", err)
	}
	fresh := data + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
		return fmt.Errorf("creating a cluster: %w", err)
	}
	if err := fill(ctx, acc, bin, fresh); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return os.Rename(fresh, data)
}

// fillCluster copies the kept cluster of this version into the empty folder
// dir. When there is none yet it runs initdb there, and keeps a copy.
func fillCluster(ctx context.Context, acc account, bin, dir string) error {
	kept, err := keptCluster(ctx, bin)
	if err != nil {
		return err
	}
	lock, err := lockFile(kept + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(kept); err == nil {
		return copyTree(dir, kept)
	}
	if err := initdb(ctx, acc, bin, dir); err != nil {
		return err
	}
	fresh := kept + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700), copyTree(fresh, dir)); err != nil {
		return fmt.Errorf("keeping a cluster: %w", err)
	}
	return os.Rename(fresh, kept)
}

// keptCluster gives the path at which this version's cluster is kept.
func keptCluster(ctx context.Context, bin string) (string, error) {
	version, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking PostgreSQL for its version: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s %s %q", bin, version, initdbArgs))
	return filepath.Join(cache, fmt.Sprintf("cluster-%x", key[:8])), nil
}

// cacheDir gives the folder for kept clusters: in the user's cache, or, for
// users without a home, in the temporary folder.
func cacheDir() (string, error) {
	if cache, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(cache, "pgveil", "postgres")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, nil
		}
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pgveil-cache-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("creating the cache folder: %w", err)
	}
	return dir, checkPrivate(dir)
}

// checkPrivate makes sure that a folder with a name that others can foresee
// is ours alone: a cluster that somebody else planted would run as us.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("checking the cache folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("cache folder %s is not a folder of ours alone", dir)
	}
	return nil
}

// lockFile waits for the lock on the file, which processes that start servers
// at the same time share. Closing the file, or dying, gives it back.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), f.Close())
	}
	return f, nil
}

func initdb(ctx context.Context, acc account, bin, dir string) error {
	if err := acc.own(dir); err != nil {
		return fmt.Errorf("running initdb: %w", err)
	}
	args := append([]string{"-D", dir}, initdbArgs...)
	out, err := acc.command(ctx, filepath.Dir(dir), filepath.Join(bin, "initdb"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, out)
	}
	return nil
}

// copyTree copies what is in the folder src into the folder dst. The files
// share their blocks where the file system can.
func copyTree(dst, src string) error {
	if err := os.CopyFS(dst, os.DirFS(src)); err != nil {
		return fmt.Errorf("copying a cluster: %w", err)
	}
	return nil
}
