"""What people and programs may do: shared by service and website, checked by the policy, written into the audit."""
