"""From the shell script «guest_lvm_mounter» to holdstill: read what its users have written, and write it anew."""
