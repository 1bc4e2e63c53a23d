"""What an administrator finds behind SSH: a POSIX shell in small, and the commands of a dom0."""
