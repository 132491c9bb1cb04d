package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/terminal"
)

// lockedKey is a private key that has a passphrase. It is asked for when the server wants a signature, which is after it has said
// that it would take this key.
type lockedKey struct {
	path   string
	text   []byte
	public ssh.PublicKey
	ask    func(Question) (string, error)
	fail   func(error)
	open   ssh.Signer
}

// locked gives the key in text, which could not be parsed for want of its passphrase; nil if that was not the reason, or if its
// public half is not known: older files keep that in a file beside them.
func (a *auth) locked(path string, text []byte, reason error) *lockedKey {
	var missing *ssh.PassphraseMissingError
	if !errors.As(reason, &missing) {
		return nil
	}
	public := missing.PublicKey
	if public == nil {
		beside, err := os.ReadFile(path + ".pub")
		if err != nil {
			return nil
		}
		if public, _, _, _, err = ssh.ParseAuthorizedKey(beside); err != nil {
			return nil
		}
	}
	return &lockedKey{path: path, text: text, public: public, ask: a.passphrase, fail: func(err error) { a.failure = err }}
}

// passphrase asks somebody.
func (a *auth) passphrase(q Question) (string, error) {
	a.waiting.begin()
	defer a.waiting.end()
	return a.options.Ask(q)
}

// passphraseTries is how many times somebody may mistype.
const passphraseTries = 3

// unlock asks for the passphrase.
func (k *lockedKey) unlock() (ssh.AlgorithmSigner, error) {
	for range passphraseTries {
		if k.open != nil {
			break
		}
		text, err := k.ask(Question{What: "passphrase of the private key " + terminal.Text(k.path)})
		if err != nil {
			return nil, err
		}
		k.open, err = ssh.ParsePrivateKeyWithPassphrase(k.text, []byte(text))
		if err != nil {
			k.open = nil // Most likely it was mistyped.
		}
	}
	signer, ok := k.open.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("the key %s was not opened: the passphrase was wrong %d times", k.path, passphraseTries)
	}
	return signer, nil
}

// PublicKey implements ssh.Signer.
func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

// Sign implements ssh.Signer.
func (k *lockedKey) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(random, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (k *lockedKey) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s, err := k.unlock()
	if err != nil {
		k.fail(err)
		return nil, err
	}
	return s.SignWithAlgorithm(random, data, algorithm)
}

// holds reports whether one of the signers has a public key.
func holds(list []ssh.Signer, key ssh.PublicKey) bool {
	for _, s := range list {
		if bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}
