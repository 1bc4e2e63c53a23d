"""One guest: the WinRM channel, typed calls, file transfer, life and death."""
