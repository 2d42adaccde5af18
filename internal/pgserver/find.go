package pgserver

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// EnvBin names the environment variable that says where the server programs
// are, before any other place is looked at.
const EnvBin = "PGVEIL_POSTGRES_BIN"

// ErrNotFound is what Find returns on a machine without PostgreSQL's server
// programs.
var ErrNotFound = errors.New("no PostgreSQL server programs found: " +
	"install them (apt-get install postgresql) or name their folder in " + EnvBin)

// Find gives the folder that holds initdb, postgres and pg_ctl: the one that
// PGVEIL_POSTGRES_BIN names, else the newest version that Debian's packages
// installed, else the one on the PATH.
func Find() (string, error) {
	if dir := os.Getenv(EnvBin); dir != "" {
		return dir, checkBin(dir)
	}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("looking for PostgreSQL: %w", err)
	}
	slices.SortFunc(installed, func(a, b string) int {
		return cmp.Compare(majorOf(b), majorOf(a))
	})
	if path, err := exec.LookPath("initdb"); err == nil {
		installed = append(installed, filepath.Dir(path))
	}
	for _, dir := range installed {
		if checkBin(dir) == nil {
			return dir, nil
		}
	}
	return "", ErrNotFound
}

// programs gives the folder asked for, or the one that Find finds.
func programs(dir string) (string, error) {
	if dir == "" {
		return Find()
	}
	return dir, checkBin(dir)
}

// majorOf reads the version in a path like /usr/lib/postgresql/15/bin; a
// folder that is not named by a version sorts last.
func majorOf(bin string) float64 {
	v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(bin)), 64)
	if err != nil {
		return -1
	}
	return v
}

// checkBin tells what a folder lacks of the programs that a server needs.
// Debian's client packages leave version folders that hold psql alone.
func checkBin(dir string) error {
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("looking for PostgreSQL in %s: %w", dir, err)
		}
	}
	return nil
}
