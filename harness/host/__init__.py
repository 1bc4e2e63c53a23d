"""One Xen host: SSH, toolstacks, xenstore, clones, leak check."""
