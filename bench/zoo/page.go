package main

func (b *bench) writePage(string, any) error { return nil }
