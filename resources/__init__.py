"""Files shipped with Whorl: fonts, words, the default configuration, sample people."""
