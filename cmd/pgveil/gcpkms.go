//go:build gcpkms

package main

import (
	"fmt"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/seal/cloudkms"
)

func gcpWrapper(k *config.CloudKey) (seal.Wrapper, error) {
	credentials, err := cloudCredentials(k)
	if err != nil {
		return nil, fmt.Errorf("sealing.wrapped_by.gcp: %w", err)
	}
	by, err := cloudkms.NewGoogle(cloudkms.GoogleOptions{Key: k.Key, Endpoint: k.Endpoint, Credentials: credentials})
	if err != nil {
		return nil, fmt.Errorf("sealing.wrapped_by.gcp: %w", err)
	}
	return by, nil
}
