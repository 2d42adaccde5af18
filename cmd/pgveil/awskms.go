//go:build awskms

package main

import (
	"fmt"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/seal/cloudkms"
)

func awsWrapper(k *config.CloudKey) (seal.Wrapper, error) {
	credentials, err := cloudCredentials(k)
	if err != nil {
		return nil, fmt.Errorf("sealing.wrapped_by.aws: %w", err)
	}
	by, err := cloudkms.NewAWS(cloudkms.AWSOptions{Key: k.Key, Endpoint: k.Endpoint, Credentials: credentials})
	if err != nil {
		return nil, fmt.Errorf("sealing.wrapped_by.aws: %w", err)
	}
	return by, nil
}
