package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"

	"golang.org/x/crypto/ssh"
)

// WriteKey makes an Ed25519 key and writes its private half to a file, encrypted if there is a passphrase.
func WriteKey(path, passphrase string) (ssh.PublicKey, ed25519.PrivateKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		return nil, nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	return key, private, os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
