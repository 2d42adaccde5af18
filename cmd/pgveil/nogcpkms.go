//go:build !gcpkms

package main

import (
	"errors"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/seal"
)

func gcpWrapper(*config.CloudKey) (seal.Wrapper, error) {
	return nil, errors.New("sealing.wrapped_by.gcp: Google Cloud KMS: this pgveil was built without it: build it with -tags gcpkms")
}
