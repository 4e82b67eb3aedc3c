#include "budget.h"

void budget_earn(struct budget *budget, uint64_t amount)
{
	budget->spent -= amount < budget->spent ? amount : budget->spent;
}

bool budget_spend(struct budget *budget, uint64_t amount, uint64_t now, uint64_t each_ms, uint64_t most)
{
	budget_earn(budget, (now - budget->at) * each_ms);
	budget->at = now;
	budget->spent += amount;
	return budget->spent <= most;
}
