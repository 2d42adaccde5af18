//go:build awskms || gcpkms

package main

import "github.com/pgveil/pgveil/config"

// cloudCredentials gives what reads credentials anew each time, and tries it once; nil
// where there is no file.
func cloudCredentials(k *config.CloudKey) (func() (string, error), error) {
	if k.Credentials == "" {
		return nil, nil
	}
	read := func() (string, error) { return readSecret(k.Credentials) }
	_, err := read()
	return read, err
}
