//go:build gcpkms

package main

import (
	"fmt"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/seal/cloudkms"
)

func gcpWrapper(k *config.CloudKey) (seal.Wrapper, error) {
	by, err := cloudkms.NewGoogle(cloudkms.GoogleOptions{Key: k.Key, Endpoint: k.Endpoint, Credentials: k.Credentials})
	if err != nil {
		return nil, fmt.Errorf("sealing.wrapped_by.gcp: %w", err)
	}
	return by, nil
}
